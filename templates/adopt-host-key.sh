key={{ path }}
temporary={{ temporary }}

# The next key is made beside the present one and told; it takes its place once it is pinned over there.
present=$(ssh-keygen -y -f "$key" | cut -d ' ' -f 1,2)
if [ "$present" != "$temporary" ]; then
  # The exchange was done before, and the other side did not come to hear of it.
  fact host_key "$present"
  exit 0
fi
if [ ! -s "$key.next" ]; then
  rm -f "$key.making" "$key.making.pub"
  ssh-keygen -q -t ed25519 -N '' -C '' -f "$key.making"
  mv "$key.making.pub" "$key.next.pub"
  mv "$key.making" "$key.next"
fi
fact host_key "$(ssh-keygen -y -f "$key.next" | cut -d ' ' -f 1,2)"
