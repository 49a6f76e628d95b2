/* For images without a shell: whom the C library takes the user for, what the file that $KEY names is, and
   what becomes of a child that needs a moment after SIGTERM where its parent dies of it. */
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void release(int signal) {
	(void)signal;
	sleep(2);
	write(1, "released\n", 9);
	_exit(0);
}

int main(int count, char **arguments) {
	const struct passwd *user = getpwuid(getuid());
	printf("user %u: %s at %s\n", getuid(), user ? user->pw_name : "unknown", user ? user->pw_dir : "unknown");
	const char *key = getenv("KEY");
	struct stat file;
	if (key && stat(key, &file) == 0)
		printf("key: %o, %s\n", file.st_mode & 07777, file.st_uid == getuid() ? "own" : "another's");
	fflush(stdout);
	if (count > 1 && strcmp(arguments[1], "linger") == 0) {
		if (fork() == 0) signal(SIGTERM, release);
		for (;;) pause();
	}
	return 0;
}
