package multiprolab_test

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// mapShared maps a file into memory, so that what one process writes there the others see, whatever
// becomes of it.
func mapShared(f *os.File, size int) (mem []byte, unmap func() error, err error) {
	h, err := windows.CreateFileMapping(windows.Handle(f.Fd()), nil, windows.PAGE_READWRITE, 0, uint32(size), nil)
	if err != nil {
		return nil, nil, err
	}
	defer windows.CloseHandle(h) // the view keeps it
	view, err := windows.MapViewOfFile(h, windows.FILE_MAP_READ|windows.FILE_MAP_WRITE, 0, 0, uintptr(size))
	if err != nil {
		return nil, nil, err
	}
	mem = unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&view))), size)
	return mem, func() error { return windows.UnmapViewOfFile(view) }, nil
}

// stopSelf never returns: Windows cannot stop a process from within.
func stopSelf() { select {} }

var signalStop, signalCont os.Signal // Windows has neither
