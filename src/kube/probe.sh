# Asks every server for one name, over UDP and TCP, all at once.
# $1 the name, $2 a DNS query for it with its TCP length prefix, in base64; then the servers.
# Prints a line for each question: transport server start end output(base64). Start and end are
# seconds since boot. Only what every busybox 1.37 has is used: its nc speaks no UDP.
name=$1 query=$2
shift 2
now() { cut -d ' ' -f 1 /proc/uptime; }
tell() { printf '%s %s %s %s %s\n' "$1" "$2" "$3" "$(now)" "$4"; }
for server; do
    {
        start=$(now)
        tell udp "$server" "$start" "$(
            timeout 4 nslookup -type=a -timeout=3 -retry=2 "$name" "$server" 2>&1 | head -c 900 | base64 -w 0
        )"
    } &
    {
        start=$(now)
        tell tcp "$server" "$start" "$(
            printf %s "$query" | base64 -d | timeout 4 nc -w 3 "$server" 53 2>&1 | head -c 900 | base64 -w 0
        )"
    } &
done
wait
