package sockets

import (
	"os"

	"github.com/multiprolab/multiprolab/internal/upgrade"
)

// HandOn returns what the new version of the program is to know of the sockets: of those that Open
// has added, and those that the service manager has passed and nobody has asked for. The
// descriptors stay open as long as the Set does.
func (s *Set) HandOn() (all []upgrade.Socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, socket := range s.all {
		if from := socket.from; from != nil && socket.file != nil {
			u := upgrade.Socket{Name: socket.Name, Network: from.Network, Address: from.Address}
			if isFile(socket.path, socket.info) {
				u.Path = socket.path
			}
			if err := socket.file.Control(func(fd uintptr) { u.FD = int(fd) }); err == nil {
				all = append(all, u)
			}
		}
	}
	passed.mu.Lock()
	defer passed.mu.Unlock()
	for _, p := range passed.left {
		u := upgrade.Socket{Name: p.Name}
		if conn, err := p.File.SyscallConn(); p.Network == "" && err == nil &&
			conn.Control(func(fd uintptr) { u.FD = int(fd) }) == nil {
			all = append(all, u)
		}
	}
	return all
}

// Fresh reports whether Open has opened a socket that was not passed to this process.
func (s *Set) Fresh() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, socket := range s.all {
		if socket.from != nil && !socket.from.Inherited {
			return true
		}
	}
	return false
}

// Duplicates returns files of the sockets, for the process of a trial. The caller closes them.
func Duplicates(all []upgrade.Socket) (files []*os.File, err error) {
	for i := range all {
		fd, err := duplicate(uintptr(all[i].FD))
		if err != nil {
			for _, f := range files {
				_ = f.Close() // it is a duplicate
			}
			return nil, err
		}
		files = append(files, os.NewFile(uintptr(fd), all[i].Name))
		all[i].Path = "" // a trial removes nothing that is not its own
	}
	return files, nil
}
