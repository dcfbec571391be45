#!/bin/sh
# The life of the packages in a fresh Debian, whose root this runs in: installed, upgraded, removed,
# installed again, purged. /packages/old and /packages/new hold the two versions.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

names="evenkeel evenkeel-agent libevenkeel-dev libnginx-mod-http-evenkeel"
site=/etc/nginx/conf.d/evenkeel.conf
other=/etc/nginx/sites-enabled/gateway
examples=/usr/share/doc/libnginx-mod-http-evenkeel/examples

fail() {
    echo "$1" >&2
    exit 1
}

accepted() {
    nginx -t -q || fail "$1: NGINX refuses its configuration"
}

installed_is() {
    for name in $names; do
        version=$(dpkg-query --show --showformat='${Version}' "$name")
        [ "$version" = "$1-1" ] || fail "$name is $version, and $1-1 was installed"
    done
}

echo "installation"
dpkg --install /packages/old/*.deb > /log/install
installed_is "$1"
for hint in "editor /etc/evenkeel/hosts" "editor $site"; do
    grep -q "$hint" /log/install || fail "nothing was said of: $hint"
done
accepted "after installation"
for program in evenkeel evenkeel-agent evenkeel-testbed evenkeel-scale; do
    "$program" --help > /dev/null || fail "$program does not run"
done
evenkeel inspect /usr/share/evenkeel/general.ekm > /dev/null
id evenkeel-agent > /dev/null
for name in $names; do
    for paper in copyright changelog.gz changelog.Debian.gz; do
        [ -s "/usr/share/doc/$name/$paper" ] || fail "$name has no $paper"
    done
done

echo "use, as the hint says"
install -m 644 /usr/share/evenkeel/general.ekm /etc/evenkeel/evenkeel.ekm
cp "$examples/evenkeel.conf" "$site"
# A file that has nothing of the module but sends requests to its upstream, and one that has nothing to do with it.
echo 'server { listen 8081; location / { proxy_pass http://llm; } }' > "$other"
echo 'upstream evenkeel { server 127.0.0.1:9; } server { listen 8082; location / { proxy_pass http://evenkeel; } }' \
    > /etc/nginx/conf.d/unrelated.conf
accepted "with the example"
echo "10.0.0.9:8000" >> /etc/evenkeel/hosts
touch /var/log/nginx/evenkeel.log
echo '{"status":200}' > /var/log/nginx/evenkeel.log
logrotate --force /etc/logrotate.d/nginx
[ -s /var/log/nginx/evenkeel.log.1 ] || fail "the log was not rotated"

echo "upgrade"
dpkg --install /packages/new/*.deb > /log/upgrade
installed_is "$2"
! grep -q "What comes next" /log/upgrade || fail "an upgrade gives the hints of a first installation"
grep -q "^10.0.0.9:8000" /etc/evenkeel/hosts || fail "the upgrade took back a change of /etc/evenkeel/hosts"
[ -f "$site" ] && [ -f "$other" ] || fail "the upgrade set configuration aside"
accepted "after the upgrade"

echo "removal"
dpkg --remove $names > /log/remove
accepted "after removal"
[ ! -e "$site" ] && [ ! -e "$other" ] || fail "configuration that needs the module is still enabled"
[ -f /etc/nginx/conf.d/unrelated.conf ] || fail "configuration that does not need the module was set aside"
grep -q "$site is now" /log/remove || fail "the removal does not say what it set aside"
[ -f /etc/evenkeel/hosts ] || fail "the removal took the hosts along, which only a purge may"

echo "installation after removal"
dpkg --install /packages/new/*.deb > /log/again
[ -f "$site" ] && [ -f "$other" ] || fail "what was set aside is not back"
[ ! -e /etc/nginx/evenkeel-removed ] || fail "a folder without a use is left"
accepted "after installation again"

echo "purge"
dpkg --purge $names > /log/purge
accepted "after the purge"
[ ! -e /etc/evenkeel/hosts ] || fail "the purge left the hosts"
! getent passwd evenkeel-agent > /dev/null || fail "the purge left the user"
# The user's own: the artifact, and what was set aside.
left=$(find / -xdev -iname '*evenkeel*' ! -path '/packages/*' ! -path '/proc/*' ! -path '/sys/*' |
    grep -v -e '^/etc/evenkeel$' -e '^/etc/evenkeel/evenkeel.ekm$' -e '^/etc/nginx/evenkeel-removed' \
        -e '^/var/log/nginx/evenkeel' || true)
[ -z "$left" ] || fail "the purge left: $left"
