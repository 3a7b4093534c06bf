# Does the daemon say that this node can serve calls? Without starting a Python for it.
exec 3<>/dev/tcp/127.0.0.1/8780 || exit 1
printf 'GET /health HTTP/1.0\r\n\r\n' >&3
read -r _ status _ <&3
[ "$status" = 200 ]
