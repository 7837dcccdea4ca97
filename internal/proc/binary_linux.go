// The functions of this file serve both processes.

package proc

import (
	"os"
	"strconv"
	"sync"
	"syscall"
)

// selfExe leads to the binary that this process runs, whatever has become of its name (proc(5)).
const selfExe = "/proc/self/exe"

// running describes the binary that this process runs. It is found out at the first call, which may
// be late, because selfExe never leads to another file.
var running = sync.OnceValues(func() (os.FileInfo, error) { return os.Stat(selfExe) })

// firstPath is the path that the binary had when it was first asked for.
var firstPath = sync.OnceValues(os.Executable)

// executable is Executable.
func executable() (string, error) {
	running, err := running()
	if err != nil { // there is no /proc: os.Executable needs it as well, and its error says so
		return os.Executable()
	}
	// If the path still leads to the binary, it is returned: it reads better in a list of
	// processes.
	for _, find := range []func() (string, error){firstPath, os.Executable} { // the file may have been moved since
		if path, err := find(); err == nil {
			if info, err := os.Stat(path); err == nil && os.SameFile(info, running) {
				return path, nil
			}
		}
	}
	return selfExe, nil
}

// replaced is Replaced.
func replaced() (string, bool) {
	running, err := running()
	if err != nil {
		return "", false
	}
	path, err := firstPath() // os.Executable would follow a file that is moved
	if err != nil {
		return "", false
	}
	info, err := os.Stat(path)
	return path, err == nil && !os.SameFile(info, running)
}

// identity is Identity.
var identity = sync.OnceValues(func() (string, error) {
	info, err := running()
	if err != nil {
		return "", err
	}
	st := info.Sys().(*syscall.Stat_t)
	var text []byte // made without package fmt, whose first use takes longer than everything else here
	for _, n := range []uint64{uint64(st.Dev), st.Ino, uint64(st.Size), uint64(info.ModTime().UnixNano())} {
		text = append(strconv.AppendUint(text, n, 16), '-')
	}
	return string(text[:len(text)-1]), nil
})
