// The types of this file live in a process that is process 1 of a PID namespace: a worker with
// PIDNamespace, or the main process of a container.

package proc

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reapGrace is the least time between two looks. A process is reaped when two looks have found that
// it is a zombie.
const reapGrace = time.Second

// ReapOrphans reaps the processes that have become children of this process because their parent
// has ended: the kernel gives them to process 1 of their PID namespace. In any other process it
// does nothing.
//
// It reaps a child that it has seen twice as a zombie, at least a second apart, if no descriptor of
// this process is a pidfd of the child. It does not reap the children of package os and os/exec,
// however late their Wait comes, because since Go 1.23 an os.Process holds a pidfd until it was
// waited for. Nor does it reap any other child of which somebody holds a pidfd. A child of
// os.StartProcess that was given up (Process.Release, or no reference left) has no pidfd any more
// and is reaped after the next end of a child.
//
// A child that was started by other means, with syscall.ForkExec or by C code, cannot be told from
// an orphan: whoever waits for it more than a second after its end may find its status gone.
// Nothing is reaped if there are no pidfds (Linux before 5.4) or no /proc, and no process is reaped
// that /proc hides (hidepid).
//
// stop ends the reaping and waits for its goroutine. It may be called more than once.
func ReapOrphans() (stop func()) {
	if os.Getpid() != 1 {
		return func() {}
	}
	view, err := newProcView()
	if err != nil || !seesPidFDs(view) {
		return func() {}
	}
	r := &reaper{view: view, seen: make(map[zombie]time.Time), quit: make(chan struct{}), done: make(chan struct{})}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	go r.run(signals) // ended, and waited for, by stop
	return sync.OnceFunc(func() {
		signal.Stop(signals)
		close(r.quit)
		<-r.done
	})
}

// seesPidFDs reports whether package os uses pidfds and this process can see that: it makes a pidfd
// of itself and looks for it.
func seesPidFDs(view *procView) bool {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return false
	}
	defer func() { _ = self.Release() }()
	held, err := heldPIDs()
	return err == nil && held[view.self]
}

// reaper lives in process 1 of a PID namespace. Its goroutine owns it.
type reaper struct {
	view *procView            // /proc as this process sees it
	seen map[zombie]time.Time // the zombies that may be reaped, with the time when each was first seen
	quit chan struct{}        // the function stop of ReapOrphans closes it
	done chan struct{}        // run closes it as the last thing that it does
}

// zombie is a child that has ended, in process 1. The time of its start tells it from another
// process that has had its pid before.
type zombie struct {
	pid   int    // the pid of the child in /proc
	start string // the time of the child's start, as /proc tells it
}

// run looks at the zombies once, and whenever a child has ended, but no more often than reapGrace
// says.
func (r *reaper) run(signals <-chan os.Signal) {
	defer close(r.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	armed := true // the timer will fire
	for {
		select {
		case <-signals:
			if !armed {
				armed = true
				timer.Reset(reapGrace - time.Since(last))
			}
		case <-timer.C:
			last = time.Now()
			if armed = r.look(last); armed {
				timer.Reset(reapGrace)
			}
		case <-r.quit:
			return
		}
	}
}

// look reaps what can be reaped now, and reports whether there is something to reap later.
func (r *reaper) look(now time.Time) bool {
	if code, _, err := waitid(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG, nil); err != nil || code == 0 {
		clear(r.seen)
		return false
	}
	zombies := r.zombies()
	// The pidfds are listed after the zombies, because package os holds a pidfd of each of its
	// children from the start of the child until after its reap.
	held, err := heldPIDs()
	if err != nil { // perhaps there are no descriptors left; there will be another look
		return true
	}
	before := r.seen
	r.seen = make(map[zombie]time.Time)
	for _, z := range zombies {
		if held[z.pid] {
			continue
		}
		first, ok := before[z]
		if !ok {
			first = now
		}
		if now.Sub(first) < reapGrace || !r.reap(z) {
			r.seen[z] = first
		}
	}
	return len(r.seen) > 0
}

// reap reaps one zombie, and no other process even if another has its pid by now. It returns false
// if the zombie still is there.
func (r *reaper) reap(z zombie) bool {
	dir := "/proc/" + strconv.Itoa(z.pid)
	pid, err := r.view.pid(dir)
	if err != nil {
		return true
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err == unix.ESRCH
	}
	defer unix.Close(fd)
	if now, ok := r.zombie(dir); !ok || now != z { // fd may be the pidfd of another process
		return true
	}
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PIDFD, fd, &info, unix.WEXITED|unix.WNOHANG, nil)
		if err != unix.EINTR {
			return err == unix.ECHILD || err == nil && info.Signo != 0
		}
	}
}

// zombies lists the children that have ended and were not reaped.
func (r *reaper) zombies() (zombies []zombie) {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed, and other errors are ignored
	for _, dir := range dirs {
		if z, ok := r.zombie(dir); ok {
			zombies = append(zombies, z)
		}
	}
	return zombies
}

// zombie looks at one process, by its directory in /proc, and reports whether it is a child of this
// one that has ended.
func (r *reaper) zombie(dir string) (z zombie, ok bool) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return z, false // the process was reaped meanwhile
	}
	// The name in parentheses may hold anything. Behind it, state is field 3, ppid is field 4 and
	// starttime is field 22 of proc_pid_stat(5).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] != "Z" || fields[1] != strconv.Itoa(r.view.self) {
		return z, false
	}
	z.start = fields[19]
	z.pid, err = strconv.Atoi(filepath.Base(dir))
	return z, err == nil
}

// heldPIDs returns the pids, as in /proc, of the processes of which this process holds a pidfd
// (pidfd_open(2), fdinfo).
func heldPIDs() (map[int]bool, error) {
	entries, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		return nil, err
	}
	held := make(map[int]bool)
	for _, entry := range entries {
		info, err := os.ReadFile("/proc/self/fdinfo/" + entry.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed meanwhile
		}
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(info) {
			if rest, ok := bytes.CutPrefix(line, []byte("Pid:")); ok {
				if pid, err := strconv.Atoi(string(bytes.TrimSpace(rest))); err == nil {
					held[pid] = true
				}
			}
		}
	}
	return held, nil
}
