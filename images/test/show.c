/* The whole of the image "scratch": prints its arguments and its environment, a line each. */
#include <stdio.h>

extern char **environ;

int main(int count, char **arguments) {
	for (int i = 0; i < count; i++) printf("argument %d: %s\n", i, arguments[i]);
	for (char **variable = environ; *variable; variable++) printf("environment: %s\n", *variable);
	return 0;
}
