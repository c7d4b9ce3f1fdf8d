key={{ path }}

if [ -s "$key.next" ]; then
  mv "$key.next.pub" "$key.pub"
  mv "$key.next" "$key"
fi
# The listening sshd is the topmost one above this shell. It keeps its connections when it reloads.
listener=
pid=$$
while [ "$pid" -gt 1 ]; do
  read -r _ name _ pid_above _ < <(sed 's/ (\(.*\)) / \1 /' "/proc/$pid/stat")
  case $name in sshd*) listener=$pid ;; esac
  pid=$pid_above
done
[ -n "$listener" ] || die "found no sshd above this shell"
kill -HUP "$listener"
