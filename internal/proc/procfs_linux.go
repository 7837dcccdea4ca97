// The types of this file live in the worker process, or in a main process that is process 1 of a
// container.

package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// procView is /proc as this process sees it. In a PID namespace, /proc is usually that of an outer
// namespace, and shows the pids of the outer namespace. A procView never changes.
type procView struct {
	self  int // the pid that this process has in /proc
	level int // the position of this process's namespace in the NSpid lines of /proc/PID/status
}

// newProcView returns the view of this process. It fails if /proc is not mounted, or does not know
// this process.
func newProcView() (*procView, error) {
	link, err := os.Readlink("/proc/self")
	if err != nil {
		return nil, err
	}
	v := new(procView)
	if v.self, err = strconv.Atoi(link); err != nil {
		return nil, err
	}
	pids, err := nsPIDs("/proc/self/status")
	if err != nil {
		return nil, err
	}
	v.level = len(pids) - 1
	return v, nil
}

// pid returns the pid that a process or thread, named by its directory in /proc, has in the system
// calls of this process.
func (v *procView) pid(dir string) (int, error) {
	pids, err := nsPIDs(filepath.Join(dir, "status"))
	if err != nil {
		return 0, err
	}
	if len(pids) <= v.level {
		return 0, fmt.Errorf("%s/status: the process is in none of our PID namespaces", dir)
	}
	return pids[v.level], nil
}

// nsPIDs returns the pids in the NSpid line of a status file: first the pid in the namespace of
// /proc, then the pids in the namespaces within it (proc_pid_status(5)). Kernels before 4.1 do not
// have the line.
func nsPIDs(path string) (pids []int, err error) {
	status, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			for _, field := range bytes.Fields(rest) {
				pid, err := strconv.Atoi(string(field))
				if err != nil {
					return nil, fmt.Errorf("%s: %w", path, err)
				}
				pids = append(pids, pid)
			}
		}
	}
	if len(pids) == 0 {
		return nil, fmt.Errorf("%s has no NSpid line", path)
	}
	return pids, nil
}

// forEachThread calls f with the id of every thread of this process, then for the threads that have
// appeared meanwhile, and so on until none has. A thread inherits what f has set in the thread that
// makes it, so that afterwards all threads have it.
func forEachThread(f func(tid int) error) error {
	v, err := newProcView()
	if err != nil {
		return fmt.Errorf("the threads of the process are listed in /proc: %w", err)
	}
	done := make(map[string]bool)
	for {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		before := len(done)
		for _, entry := range entries {
			if done[entry.Name()] {
				continue
			}
			done[entry.Name()] = true
			tid, err := v.pid("/proc/self/task/" + entry.Name())
			if err == nil {
				err = f(tid)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) { // the thread has ended
				return err
			}
		}
		if len(done) == before {
			return nil
		}
	}
}
