#!/bin/bash
# Packs the built module for Debian: libnginx-mod-http-evenkeel_VERSION_ARCHITECTURE.deb
#
#     build-deb.sh [FOLDER]
#
# FOLDER is that of build.sh (target/nginx if none is given). The package depends on the very
# binary interface of NGINX that the module was built for.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
out=$(cd "${1:-$target/nginx}" && pwd)
name=libnginx-mod-http-evenkeel
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
architecture=$(dpkg --print-architecture)

if [[ ! -f $out/ngx_http_evenkeel_module.so ]]; then
    echo "$out/ngx_http_evenkeel_module.so is missing: run modules/nginx/build.sh" >&2
    exit 1
fi
abi=$(dpkg-query --show --showformat '${Provides}\n' nginx nginx-core 2>/dev/null |
    tr -d ' ' | tr ',' '\n' | grep -m 1 '^nginx-abi-') || {
    echo "the installed nginx names no binary interface (nginx-abi-…): install Debian's nginx" >&2
    exit 1
}

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
install -D -m 644 "$out/ngx_http_evenkeel_module.so" "$tree/usr/lib/nginx/modules/ngx_http_evenkeel_module.so"
install -d "$tree/usr/share/nginx/modules-available" "$tree/etc/nginx/modules-enabled" "$tree/usr/share/doc/$name"
echo "load_module modules/ngx_http_evenkeel_module.so;" > "$tree/usr/share/nginx/modules-available/mod-http-evenkeel.conf"
ln -s /usr/share/nginx/modules-available/mod-http-evenkeel.conf \
    "$tree/etc/nginx/modules-enabled/50-mod-http-evenkeel.conf"
cat "$root/LICENSE-MIT" "$root/LICENSE-APACHE" > "$tree/usr/share/doc/$name/copyright"
install -m 644 "$root/docs/nginx.md" "$tree/usr/share/doc/$name/nginx.md"
install -D -m 644 "$root/deploy/nginx/evenkeel.conf" "$tree/usr/share/doc/$name/examples/evenkeel.conf"
install -d "$tree/DEBIAN"
cat > "$tree/DEBIAN/control" <<CONTROL
Package: $name
Version: $version
Architecture: $architecture
Maintainer: Evenkeel developers <evenkeel@invalid>
Depends: libc6, $abi
Section: httpd
Priority: optional
Description: load balancing with a trained policy for NGINX
 Chooses the server of each request with a policy that was trained on the
 service's own traces, and publishes its demand for autoscalers.
CONTROL
dpkg-deb --root-owner-group --build "$tree" "$out/${name}_${version}_$architecture.deb" > /dev/null
echo "$out/${name}_${version}_$architecture.deb"
