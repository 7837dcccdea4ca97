package shared

import (
	"os"

	"golang.org/x/sys/unix"
)

// draft is a segment that is being written: a file in memory that nobody else has.
type draft struct{ *os.File }

// newDraft makes an empty file in memory.
func newDraft() (*draft, error) {
	fd, err := unix.MemfdCreate("multiprolab-shared", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return &draft{os.NewFile(uintptr(fd), "multiprolab-shared")}, nil
}

// seals keep everybody, also this process, from changing the file in any way.
const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL

// seal makes the segment of what was written.
func (d *draft) seal(int64) (backing, error) {
	_, err := unix.FcntlInt(d.Fd(), unix.F_ADD_SEALS, seals)
	return backing{d.File}, os.NewSyscallError("fcntl", err)
}

// drop gives the draft up.
func (d *draft) drop() { _ = d.Close() } // what was written is not wanted
