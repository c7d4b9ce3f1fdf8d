key={{ path }}

if [ -s "$key.next" ]; then
  mv "$key.next.pub" "$key.pub"
  mv "$key.next" "$key"
fi
# The listening sshd is above this shell, unless it was restarted since this login, as cloud-init does while a
# machine boots: then systemd knows the new one. Both ways it keeps its connections when it reloads.
listener=
pid=$$
while [ "$pid" -gt 1 ]; do
  case $(tr '\0' ' ' <"/proc/$pid/cmdline") in sshd:*'[listener]'*) listener=$pid ;; esac
  read -r _ _ _ pid _ < <(sed 's/ (\(.*\)) / - /' "/proc/$pid/stat")
done
if [ -n "$listener" ]; then
  kill -HUP "$listener"
else
  systemctl reload ssh.service || die "sshd was restarted under this login, and systemd does not reload it"
fi
