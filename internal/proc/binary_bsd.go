// The function of this file serves both processes.

//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import (
	"fmt"
	"os"
	"syscall"
)

// identityOf returns the identity of the file that is at the path now.
func identityOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%x-%x-%x-%x", st.Dev, st.Ino, st.Size, info.ModTime().UnixNano()), nil
}
