package upgrade

import (
	"os"
	"os/exec"
	"path/filepath"
)

// startDir is the directory in which the program was started, if it was started by a path in that;
// otherwise "". It never changes.
var startDir = func() string {
	if len(os.Args) == 0 || filepath.Base(os.Args[0]) == os.Args[0] || filepath.IsAbs(os.Args[0]) {
		return ""
	}
	dir, err := os.Getwd()
	if err != nil {
		return "" // then the path leads nowhere
	}
	return dir
}()

// Path returns the path by which the next version of this program is found: the name that it was
// started by, if that still leads to its file, so that a symbolic link may be led to another file
// later; otherwise the path of the file itself. It is called early in the life of the program.
func Path() string {
	if h := handed; h != nil && h.Path != "" {
		return h.Path
	}
	file, err := os.Executable()
	if err != nil || len(os.Args) == 0 {
		return file
	}
	named, err := exec.LookPath(filepath.Join(startDir, os.Args[0]))
	if err != nil {
		return file
	}
	if named, err = filepath.Abs(named); err != nil {
		return file
	}
	of, err := os.Stat(file)
	if err != nil {
		return file
	}
	if info, err := os.Stat(named); err != nil || !os.SameFile(info, of) {
		return file
	}
	return named
}
