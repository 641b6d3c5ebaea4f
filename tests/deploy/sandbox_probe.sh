#!/bin/sh
# What the sandbox lets a command of the exec adapter do, a line each.
cd /
try() { what=$1; shift; if "$@" >/dev/null 2>&1; then echo "$what yes"; else echo "$what no"; fi; }
{
  echo "user $(id -un)"
  try write-usr touch /usr/x
  try write-etc touch /etc/chimewayd/x
  try write-state touch /var/lib/chimewayd/x
  try write-run touch /run/chimewayd/x
  try write-tmp touch /tmp/x
  try see-home ls /home/somebody
  try see-init cat /proc/1/cmdline
  try see-tmp-of-others ls /tmp/of-root
  try new-user-namespace unshare --user true
  try read-dsn-file cat /etc/chimewayd/dsn
  try mount mount -t tmpfs none /mnt
  try hostname hostname other
  try date date -s 2030-01-01
  try kmsg dd if=/dev/kmsg of=/dev/null count=1 iflag=nonblock
  try suid sh -c 'touch /tmp/s && chmod u+s /tmp/s'
  try netlink python3 -c 'import socket; socket.socket(socket.AF_NETLINK)'
  try exec-memory python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=7)'
  try realtime chrt -f 1 true
  try dns getent hosts receiver.test
  env
  grep -E "Cap|NoNew|Seccomp:" /proc/self/status
} > /var/lib/chimewayd/probe 2>&1
cat > /dev/null
