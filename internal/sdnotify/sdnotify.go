// Package sdnotify tells the service manager how the main process is doing, by the notification
// protocol of systemd (sd_notify(3), sd_watchdog_enabled(3), systemd.service(5) under Type=notify
// and Type=notify-reload). It knows what is to be told and when, and not what the program does.
// Without a service manager that asked for it, all of it does nothing.
package sdnotify

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// The variables by which the service manager asks its service for notifications, and the bound of
// a notification.
const (
	socketVar      = "NOTIFY_SOCKET" // sd_notify(3)
	watchdogVar    = "WATCHDOG_USEC" // sd_watchdog_enabled(3)
	watchdogPIDVar = "WATCHDOG_PID"  // sd_watchdog_enabled(3)

	// sendTimeout is how long one notification waits for room in the service manager's queue.
	sendTimeout = time.Second
)

// A Notifier lives in the main process and sends its state to the service manager. It never changes
// after FromEnv, so any goroutine may use it. A nil *Notifier is valid: its methods do nothing and
// return nil or zero.
//
// A notification is one datagram that the service manager reads when it gets to it: a nil error
// means that it lies in the manager's queue, not that it was read, let alone accepted
// (NotifyAccess= in systemd.service(5)). Each method waits for at most one second, and only while
// that queue is full. Its error names the notification, the socket and what failed.
//
// Each method opens a socket and closes it again, as sd_notify(3) does. A socket that is kept would
// save two system calls on something that is done a few times a minute. It would need a Close, a
// lock and a descriptor that is held for good; and it would stay connected to a socket that is gone
// once the service manager has made a new one in its place. The price is that a process which has
// run out of descriptors cannot send, so that its watchdog ends it.
type Notifier struct {
	socket   string        // the socket as in NOTIFY_SOCKET: "/path", or "@name" for Linux's abstract sockets
	watchdog time.Duration // how often Watchdog is to be called; see WatchdogInterval
	environ  []string      // what FromEnv has taken out of the environment
}

// FromEnv returns the Notifier that this process's environment describes: NOTIFY_SOCKET,
// WATCHDOG_USEC and WATCHDOG_PID. It removes all three from the environment, whatever they hold,
// because a child that inherited them is not the main process and must not speak for it. It must
// therefore be called before any child is started, and before any other copy of the environment is
// taken; a second call returns nil.
//
// It returns nil if NOTIFY_SOCKET is not set, or is neither an absolute path nor, on Linux, the
// name of an abstract socket ("@" and at least one byte). The vsock addresses of virtual machines
// are among the refused: they lead to the host of a machine, and only its init process has
// something to say there. On platforms without such sockets it always returns nil.
func FromEnv() *Notifier {
	socket, usec, pid := os.Getenv(socketVar), os.Getenv(watchdogVar), os.Getenv(watchdogPIDVar)
	for _, name := range []string{socketVar, watchdogVar, watchdogPIDVar} {
		_ = os.Unsetenv(name) // it fails only for names that no variable can have
	}
	if !supported || !validSocket(socket) {
		return nil
	}
	n := &Notifier{socket: socket, watchdog: watchdogInterval(usec, pid)}
	for i, value := range []string{socket, usec, pid} {
		if value != "" {
			n.environ = append(n.environ, []string{socketVar, watchdogVar, watchdogPIDVar}[i]+"="+value)
		}
	}
	return n
}

// Environ returns what FromEnv has taken out of the environment, for another program that this
// process executes in its own place. It must not be changed.
func (n *Notifier) Environ() []string {
	if n == nil {
		return nil
	}
	return n.environ
}

// validSocket reports whether notifications can be sent to the socket.
func validSocket(socket string) bool {
	switch {
	case strings.HasPrefix(socket, "/"):
		return true
	case strings.HasPrefix(socket, "@"):
		// On other systems this would be the relative path of a file.
		return len(socket) > 1 && (runtime.GOOS == "linux" || runtime.GOOS == "android")
	default:
		return false
	}
}

// watchdogInterval is half of usec microseconds, or 0 if there is no watchdog or it watches another
// process. Like sd_watchdog_enabled, it takes a malformed value, and a timeout of 0 or of infinity
// (2^64-1), for no watchdog. An empty pid means that WATCHDOG_PID is not set.
func watchdogInterval(usec, pid string) time.Duration {
	if pid != "" {
		if n, err := strconv.Atoi(pid); err != nil || n != os.Getpid() {
			return 0
		}
	}
	n, err := strconv.ParseUint(usec, 10, 64)
	if err != nil || n == math.MaxUint64 {
		return 0
	}
	const halfMicrosecond = uint64(time.Microsecond / 2)
	return time.Duration(min(n, math.MaxInt64/halfMicrosecond) * halfMicrosecond)
}

// WatchdogInterval returns how often Watchdog is to be called: half of the time after which the
// service manager takes the silent service for hung (WatchdogSec= in systemd.service(5)), as
// sd_watchdog_enabled(3) recommends. It is 0 if the service manager does not watch this process;
// Watchdog then need not be called.
func (n *Notifier) WatchdogInterval() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that the start, or a reload announced by Reloading, is complete (READY=1).
func (n *Notifier) Ready() error { return n.notify("READY=1", "") }

// Stopping says that the service has begun to shut down (STOPPING=1). Since systemd 259 no later
// notification takes that back.
func (n *Notifier) Stopping() error { return n.notify("STOPPING=1", "") }

// Watchdog says that the service is alive (WATCHDOG=1); see WatchdogInterval.
func (n *Notifier) Watchdog() error { return n.notify("WATCHDOG=1", "") }

// Reloading says that the service has begun to reload its configuration (RELOADING=1). Ready must
// follow once that is done, also if it failed. With it goes the time of CLOCK_MONOTONIC in
// microseconds, by which Type=notify-reload tells this reload from an earlier one: so Reloading
// belongs after the receipt of the signal that asks for it, not before.
func (n *Notifier) Reloading() error {
	if n == nil {
		return nil
	}
	usec, err := monotonicUsec()
	if err != nil {
		return fmt.Errorf("sdnotify: RELOADING=1 for the service manager's socket %q: reading CLOCK_MONOTONIC: %w",
			n.socket, err)
	}
	return n.notify("RELOADING=1", "\nMONOTONIC_USEC="+strconv.FormatInt(usec, 10))
}

// notify sends what+more as one datagram. Errors name what alone.
func (n *Notifier) notify(what, more string) error {
	if n == nil {
		return nil
	}
	if err := send(n.socket, what+more); err != nil {
		return fmt.Errorf("sdnotify: %s for the service manager's socket %q: %w", what, n.socket, err)
	}
	return nil
}
