// The functions of this file serve both processes.

package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// oomScoreFile holds the number that the kernel adds to the score by which it chooses the process
// to end when there is no memory left, in thousandths of the memory: from -1000 to 1000
// (proc_pid_oom_score_adj(5)). Children inherit it.
const oomScoreFile = "/proc/self/oom_score_adj"

// OOMScoreAdj returns the number in oomScoreFile for this process, or 0 if it cannot be read.
func OOMScoreAdj() int {
	text, err := os.ReadFile(oomScoreFile)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(string(bytes.TrimSpace(text))) // the kernel has written a number
	return n
}

// setOOMScoreAdj sets the number in oomScoreFile for this process.
func setOOMScoreAdj(n int) error {
	fd, err := unix.Open(oomScoreFile, unix.O_WRONLY|unix.O_CLOEXEC, 0) // package os would do more, and take longer
	if err != nil {
		return &os.PathError{Op: "open", Path: oomScoreFile, Err: err}
	}
	defer unix.Close(fd)
	if _, err = unix.Write(fd, strconv.AppendInt(nil, int64(n), 10)); err != nil {
		return &os.PathError{Op: "write", Path: oomScoreFile, Err: err}
	}
	return nil
}

// applyOOMScoreAdj sets the number in oomScoreFile for this process, or says what the process
// lacks.
func (l *Limits) applyOOMScoreAdj() error {
	err := setOOMScoreAdj(l.OOMScoreAdj)
	var perr *os.PathError
	if errors.As(err, &perr) && perr.Op == "write" && (perr.Err == unix.EACCES || perr.Err == unix.EPERM) {
		return fmt.Errorf(
			"the process is not allowed to have less than it started with, which is %d; that needs "+
				"CAP_SYS_RESOURCE: %w",
			OOMScoreAdj(),
			err,
		)
	}
	return err
}
