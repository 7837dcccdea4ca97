// This file is the memory that a worker shares with the process that started it. newBox and
// MapShared serve the process that starts workers, takeOverBox serves the worker process.

package proc

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// BoxSize is the size in bytes of the memory that a worker shares with the process that started
	// it, so that this process can read it when the worker has ended.
	BoxSize = 256 << 10
	// SharedSize is the size in bytes of the memory that both processes use while the worker runs.
	// The system gives a page of it only when the page is used.
	SharedSize = 2 * (4<<20 + 4<<10)
)

// HasBox says that workers have such memory, unless the kernel is very old.
const HasBox = true

// newBox makes memory for a worker, as a file whose size can never change, so that nobody who maps
// it can be made to fault. It returns nil if the kernel has no such files; the worker then does
// without.
func newBox() *os.File {
	fd, err := unix.MemfdCreate("multiprolab", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil
	}
	size := int64(BoxSize + SharedSize)
	if limit := (unix.Rlimit{}); unix.Getrlimit(unix.RLIMIT_FSIZE, &limit) != nil || limit.Cur < uint64(size) {
		size = BoxSize // a larger file would end this process with SIGXFSZ
	}
	if err := unix.Ftruncate(fd, size); err == nil {
		const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
		if _, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err == nil {
			return os.NewFile(uintptr(fd), "box")
		}
	}
	_ = unix.Close(fd)
	return nil
}

// MapShared maps the memory of SharedSize bytes that this process shares with the worker, or
// returns nil if there is none. Unmap gives it back.
func (p *Process) MapShared() []byte {
	if p.Box == nil {
		return nil
	}
	conn, err := p.Box.SyscallConn()
	if err != nil {
		return nil
	}
	var memory []byte
	_ = conn.Control(func(fd uintptr) { memory = mapShared(int(fd)) })
	return memory
}

// mapShared maps the memory of SharedSize bytes in the file, or returns nil.
func mapShared(fd int) []byte {
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil || info.Size < BoxSize+SharedSize {
		return nil
	}
	memory, err := unix.Mmap(fd, BoxSize, SharedSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	return memory
}

// Unmap gives back what MapShared has returned.
func Unmap(memory []byte) { _ = unix.Munmap(memory) }

// takeOverBox maps all the memory that there is, until the end of the process, and closes its file.
func takeOverBox() (box, shared []byte) {
	defer unix.Close(boxFD)
	var info unix.Stat_t
	if err := unix.Fstat(boxFD, &info); err != nil {
		return nil, nil
	}
	for _, size := range []int64{BoxSize + SharedSize, BoxSize} {
		if info.Size < size {
			continue
		}
		start, err := unix.MmapPtr(boxFD, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err == nil {
			memory := unsafe.Slice((*byte)(start), size)
			return memory[:BoxSize:BoxSize], memory[BoxSize:]
		}
	}
	return nil, nil
}
