#!/bin/sh
# Takes from a base image what can install or compile something, and what makes another user of
# one: the rest of the image is read by those who find their way into it.
set -eu
for packages in /usr/local/lib/python3.* /usr/lib/python3* /usr/local/lib/python3.*/dist-packages; do
  for name in pip setuptools wheel; do
    rm -rf "$packages/site-packages/$name" "$packages/site-packages/$name"-*.dist-info \
      "$packages/dist-packages/$name" "$packages/dist-packages/$name"-*.dist-info \
      "$packages/$name" "$packages/$name"-*.dist-info
  done
  rm -rf "$packages/ensurepip"
done
rm -rf /usr/share/python-wheels /usr/local/bin/pip* /usr/bin/pip*
find /usr/bin /usr/local/bin -regextype posix-extended \
  -regex '.*/([a-z0-9_]+-linux-gnu-)?(cc|c\+\+|gcc|g\+\+|cpp|clang|clang\+\+|ld|as)(-[0-9.]+)?' \
  -exec rm {} +
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
