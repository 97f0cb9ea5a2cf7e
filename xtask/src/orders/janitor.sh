# Ends what is left when its input ends, whatever ended that: the last act, an error, Ctrl-C, kill -9.
# Reads "+PID" of what was started and "-PID" of what has ended; $1 is the folder to be cleared away.
trap '' INT HUP TERM
left=' '
while read -r told; do
    pid=${told#?}
    case $told in
    +*) left="$left$pid " ;;
    -*) left="${left%% "$pid" *} ${left#* "$pid" }" ;;
    esac
done
alive() {
    for pid in $left; do
        kill -0 "$pid" && return
    done
    return 1
}
signal() {
    for pid in $left; do
        kill "$1" "$pid"
    done
}
exec 2>/dev/null
signal -TERM
tenths=0
while [ $tenths -lt 50 ] && alive; do
    sleep 0.1
    tenths=$((tenths + 1))
done
signal -KILL
rm -rf "$1"
