package sockets

import (
	"cmp"
	"os"
	"strconv"
	"strings"
	"sync"
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
	left  []passedFD // in the order of the descriptors
}

// passedFD is one descriptor that the service manager has passed.
type passedFD struct {
	name string   // the name, by which Open finds it
	file *os.File // the descriptor
}

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
		names = append(names, p.name)
	}
	return names
}

// Meant reports whether the variables name this process, and nobody has taken them over.
func Meant() bool { return os.Getenv(pidVar) == strconv.Itoa(os.Getpid()) }

// takePassed is TakePassed for the first call.
func takePassed() (all []passedFD) {
	if !Meant() { // they are of the process that has started this one
		return nil
	}
	names := passedNames(os.Getenv(countVar), os.Getenv(namesVar))
	for _, v := range []string{countVar, pidVar, namesVar, pidfdVar} {
		_ = os.Unsetenv(v) // the names are good
	}
	for i, name := range names {
		if file := passedFile(firstPassed+i, name); file != nil {
			all = append(all, passedFD{name, file})
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

// activated returns the descriptor that the service manager has passed under the name, or nil. It
// is the caller's.
func activated(name string) *os.File {
	TakePassed()
	passed.mu.Lock()
	defer passed.mu.Unlock()
	for i, p := range passed.left {
		if p.name == name {
			passed.left = append(passed.left[:i:i], passed.left[i+1:]...)
			return p.file
		}
	}
	return nil
}
