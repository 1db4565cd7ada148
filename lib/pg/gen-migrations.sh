#!/bin/sh
# gen-migrations.sh FOLDER: the C table of the folder's migrations on stdout, in order; fails where a number is missing or taken twice.
set -eu
folder=$1
printf '#include "lib/base/attr.h"\n#include "lib/pg/pgmigrate.h"\n\nstatic const struct pgmigration items[] = {\n'
version=0
for file in "$folder"/*.sql; do
	version=$((version + 1))
	number=$(printf %04d $version)
	name=$(basename "$file" .sql)
	title=${name#"$number"_}
	case $title in
	"$name") echo "gen-migrations: $file: the next number is $number" >&2 && exit 1 ;;
	"" | *[!a-z0-9_]*) echo "gen-migrations: $file: a name is made of a-z, 0-9 and _" >&2 && exit 1 ;;
	esac
	printf '\t{%s, "%s",\n' "$version" "$title"
	sed 's/[\\"]/\\&/g; s/.*/\t"&\\n"/' "$file"
	printf '\t},\n'
done
printf '};\n\nconst struct pgmigrations PGMIGRATIONS = {items, ARRAY_LEN(items)};\n'
