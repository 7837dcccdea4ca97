package sockets

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/multiprolab/multiprolab/internal/upgrade"
)

// The variables by which the service manager says which sockets it has passed (sd_listen_fds(3)).
const (
	countVar = "LISTEN_FDS"
	pidVar   = "LISTEN_PID"
	namesVar = "LISTEN_FDNAMES"

	// pidfdVar says more of the process that is meant (systemd 258); it goes with the others.
	pidfdVar = "LISTEN_PIDFDID"
)

// firstPassed is the first descriptor that the service manager passes.
const firstPassed = 3

// mostPassed bounds how many descriptors a variable is believed.
const mostPassed = 1 << 16

// passed is what the service manager has passed to this process, and nobody has asked for yet. It
// is of the whole process, as the environment and the descriptors are.
var passed struct {
	mu    sync.Mutex // guards the other fields
	taken bool       // the environment has been read
	left  []Passed   // in the order of the descriptors
}

// Passed is one descriptor that the service manager, or the old version of the program, has passed.
type Passed struct {
	Name    string   // the name by which it is found
	File    *os.File // the descriptor
	Network string   // what the old version of the program has opened it with; empty: it is the service manager's
	Address string   // the same
	Path    string   // the file of a Unix socket that is to be removed in the end; or empty

	info os.FileInfo // what the file was when this process began
}

// handedFiles are the files of the Unix sockets that the old version of the program hands over, by
// their paths, before the program has come to do anything with them. It never changes.
var handedFiles = func() map[string]os.FileInfo {
	h, _ := upgrade.Taken()
	if h == nil {
		return nil
	}
	files := map[string]os.FileInfo{}
	for _, s := range h.Sockets {
		if s.Path != "" {
			files[s.Path] = fileOf(s.Path)
		}
	}
	return files
}()

// TakePassed takes over what the service manager has passed, so that no worker and no command
// inherits it by chance, and returns the names. It removes the variables from the environment.
// Later calls return the names that are left.
func TakePassed() (names []string) {
	passed.mu.Lock()
	defer passed.mu.Unlock()
	if !passed.taken {
		passed.taken = true
		passed.left = takePassed()
	}
	for _, p := range passed.left {
		if p.Network == "" {
			names = append(names, p.Name)
		}
	}
	return names
}

// Meant reports whether the variables name this process, and nobody has taken them over.
func Meant() bool { return os.Getenv(pidVar) == strconv.Itoa(os.Getpid()) }

// takePassed is TakePassed for the first call.
func takePassed() (all []Passed) {
	if h, _ := upgrade.Taken(); h != nil { // the error is told by who starts the workers
		for _, s := range h.Sockets {
			all = append(all, Passed{Name: s.Name, File: os.NewFile(uintptr(s.FD), s.Name),
				Network: s.Network, Address: s.Address, Path: s.Path, info: handedFiles[s.Path]})
		}
	}
	if !Meant() { // they are of the process that has started this one
		return all
	}
	names := passedNames(os.Getenv(countVar), os.Getenv(namesVar))
	for _, v := range []string{countVar, pidVar, namesVar, pidfdVar} {
		_ = os.Unsetenv(v) // the names are good
	}
	for i, name := range names {
		if file := passedFile(firstPassed+i, name); file != nil {
			all = append(all, Passed{Name: name, File: file})
		}
	}
	return all
}

// passedNames returns a name for each descriptor, by the values of the two variables. Of several
// descriptors with one name, the second is name#2, and so on.
func passedNames(count, names string) []string {
	n, err := strconv.Atoi(count)
	if err != nil || n <= 0 || n > mostPassed {
		return nil
	}
	given := strings.Split(names, ":")
	if names == "" || len(given) != n {
		given = make([]string, n)
	}
	taken := map[string]bool{}
	for i, name := range given {
		given[i] = cmp.Or(name, "unknown") // as sd_listen_fds_with_names(3) does
		taken[given[i]] = true
	}
	next := map[string]int{} // the number for the next descriptor of a name
	for i, name := range given {
		if next[name]++; next[name] == 1 {
			continue
		}
		for ; taken[given[i]]; next[name]++ {
			given[i] = name + "#" + strconv.Itoa(next[name])
		}
		next[name]--
		taken[given[i]] = true
	}
	return given
}

// Inherited returns the descriptor that this process was passed: by the service manager under the
// name, or by the old version of the program, which has opened it with the same arguments, or with
// another name at the same certain address. It returns nil if there is none. The file is the
// caller's.
func Inherited(name, network, address string) *Passed {
	TakePassed()
	passed.mu.Lock()
	defer passed.mu.Unlock()
	same := func(p Passed) bool { return p.Network == network && p.Address == address }
	i := slices.IndexFunc(passed.left, func(p Passed) bool { return p.Name == name && (p.Network == "" || same(p)) })
	if i < 0 && certain(network, address) {
		i = slices.IndexFunc(passed.left, same)
	}
	if i < 0 {
		return nil
	}
	p := passed.left[i]
	passed.left = slices.Delete(passed.left, i, i+1)
	if !isFile(p.Path, p.info) { // it is not the socket's any more
		p.Path = ""
	}
	return &p
}

// certain reports whether an address leads to one socket alone, so that no other one can be meant.
func certain(network, address string) bool {
	switch {
	case strings.HasPrefix(network, "unix"):
		return address != ""
	case strings.HasPrefix(network, "tcp"), strings.HasPrefix(network, "udp"):
		port := address[strings.LastIndexByte(address, ':')+1:]
		return strings.Trim(port, "0") != "" // the system chooses the port 0
	}
	return false
}

// HandedOver describes the sockets of the old version of the program that nobody has asked for, for
// an error.
func HandedOver() (all []string) {
	passed.mu.Lock()
	defer passed.mu.Unlock()
	for _, p := range passed.left {
		if p.Network != "" {
			all = append(all, fmt.Sprintf("%s %q", p.Network, p.Address))
		}
	}
	return all
}

// DropInherited closes what the old version of the program has opened and this one has not.
func DropInherited() {
	TakePassed()
	passed.mu.Lock()
	defer passed.mu.Unlock()
	kept := passed.left[:0]
	for _, p := range passed.left {
		if p.Network == "" {
			kept = append(kept, p)
			continue
		}
		if isFile(p.Path, p.info) {
			_ = os.Remove(p.Path) // what cannot be removed is left
		}
		_ = p.File.Close() // nothing was accepted
	}
	passed.left = kept
}
