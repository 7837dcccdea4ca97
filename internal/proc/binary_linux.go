// The functions of this file serve both processes.

package proc

import (
	"fmt"
	"os"
	"sync"
	"syscall"
)

// selfExe leads to the binary that this process runs, whatever has become of its name (proc(5)).
const selfExe = "/proc/self/exe"

func executable() (string, error) {
	running, err := os.Stat(selfExe)
	if err != nil { // no /proc: os.Executable needs it as well, and says so
		return os.Executable()
	}
	// The path, if it still leads there: it reads better in a list of processes.
	if path, err := os.Executable(); err == nil {
		if info, err := os.Stat(path); err == nil && os.SameFile(info, running) {
			return path, nil
		}
	}
	return selfExe, nil
}

// identity can wait for the first call, because selfExe never leads to the replacement.
var identity = sync.OnceValues(func() (string, error) {
	info, err := os.Stat(selfExe)
	if err != nil {
		return "", err
	}
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%x-%x-%x-%x", st.Dev, st.Ino, st.Size, info.ModTime().UnixNano()), nil
})
