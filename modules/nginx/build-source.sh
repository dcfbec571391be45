#!/bin/bash
# Builds NGINX from its sources, and the module with it, under the address sanitizer.
#
#     build-source.sh SOURCES FOLDER
#
# SOURCES is a checkout of NGINX. FOLDER gets the program `nginx` and the module. The C
# library must be there already: cargo build --profile dist --package evenkeel-capi
set -euo pipefail

module=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$module/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
sources=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)

export EVENKEEL_LIB=${EVENKEEL_LIB:-$target/dist}
export EVENKEEL_INCLUDE=${EVENKEEL_INCLUDE:-$root/runtime-min/include}

flags="-O1 -g -fsanitize=address -fno-omit-frame-pointer"
# With the folders, which `configure` writes into its makefile: a copied checkout has others.
stamp="$flags $sources $(cksum "$module/config") $module $out"
if [[ ! -f $out/source/Makefile || "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ]]; then
    rm -rf "$out/source" "$out/stamp"
    # configure writes beside the sources, which may be read-only.
    cp -r "$sources" "$out/source"
    chmod -R u+w "$out/source"
    cd "$out/source"
    # What needs libraries is left out; the module needs none of it.
    ./auto/configure --with-cc-opt="$flags -Wall -Wextra -Wno-unused-parameter -Werror" --with-ld-opt="-fsanitize=address" \
        --without-http_rewrite_module --without-http_gzip_module --with-http_v2_module --with-threads \
        --add-dynamic-module="$module" > "$out/configure.log" ||
        { tail -n 20 "$out/configure.log" >&2; exit 1; }
    printf '%s' "$stamp" > "$out/stamp"
fi
cd "$out/source"
make --silent --jobs "$(nproc)" -f objs/Makefile binary modules
# New files: an NGINX that runs with those before keeps them.
cp --remove-destination objs/nginx objs/ngx_http_evenkeel_module.so "$out/"
"$out/nginx" -v
