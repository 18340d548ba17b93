package daemon

import (
	"fmt"
	"math"
	"syscall"
)

// reservedFiles is how many open files a program may need beside the connections of its
// main listener: those of its ops listener, those that it makes itself, the database,
// the log, and the files that it follows.
const reservedFiles = OpsConnections + 200

// FitConnections returns how many connections a listener may hold open, maximum at
// most. It leaves enough of the open files that the system allows the process (ulimit
// -n). Without that, connections of strangers would keep out probes, and the process
// could not reach WeChat or its broker. The warning says what was lowered, and how it
// can be raised. It is "" where nothing was lowered.
func FitConnections(maximum int) (fit int, warning string) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return maximum, ""
	}
	return fitConnections(maximum, int(min(files.Cur, math.MaxInt32)))
}

// fitConnections is FitConnections for a number of open files.
func fitConnections(maximum, files int) (fit int, warning string) {
	fit = max(files-reservedFiles, files/4, 1)
	if maximum <= fit {
		return maximum, ""
	}
	return fit, fmt.Sprintf("this process may have only %d open files, so it holds %d connections and not %d: raise LimitNOFILE (systemd) or ulimit -n",
		files, fit, maximum)
}
