# shellcheck shell=bash  # sourced
# write_measured MARK REPORT: puts the report into docs/understand/performance.md, between its comments
# <!-- MARK: begin ... --> and <!-- MARK: end -->.
write_measured() {
	local page=docs/understand/performance.md new
	new=$(mktemp)
	if ! awk -v mark="$1" -v report="$2" '
		index($0, "<!-- " mark ": begin") == 1 { print; print ""; while ((getline line < report) > 0) print line; print ""; inside = 1; begun = 1; next }
		index($0, "<!-- " mark ": end -->") == 1 { inside = 0; ended = begun }
		!inside
		END { exit !ended }
	' "$page" >"$new"; then
		rm -f "$new"
		fail "$page has no comments <!-- $1: begin ... --> and <!-- $1: end -->"
	fi
	cat "$new" >"$page"
	rm -f "$new"
	say "written to $page"
}
