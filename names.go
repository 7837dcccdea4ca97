package multiprolab

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/queue"
)

// This file is the rules of names: which names users may choose, how instances are named, and how
// the place of a registration is told.

// DefaultQueue is the name of the queue of tasks that name no queue.
const DefaultQueue = meta.DefaultQueue // "default"

// MainName is the name under which every process reaches the main process.
const MainName = "main"

// maxNameLen is the greatest length of a name in bytes. It leaves room for the number of an
// instance within the 255 bytes that a name may have on the wire.
const maxNameLen = 200

// checkName returns an error that says what is wrong with a name of a worker, a message type or a
// task type, or nil.
func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the %s is empty: give it one of letters, digits, '_', '-' and '/'", what)
	case len(name) > maxNameLen:
		return fmt.Errorf("the %s %.20q... has %d bytes: use at most %d", what, name, len(name), maxNameLen)
	}
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '/':
		default:
			return fmt.Errorf("the %s %q holds %q: use letters, digits, '_', '-' and '/' only", what, name, c)
		}
	}
	return nil
}

// checkQueueName returns an error that says what is wrong with the name of a queue, or nil.
func checkQueueName(name string) error {
	if strings.Contains(name, "/") {
		return fmt.Errorf("the queue name %q holds '/': use letters, digits, '_' and '-' only", name)
	}
	return checkName("queue name", name)
}

// checkWorkerName returns an error that says what is wrong with the name of a worker, or nil. It
// also keeps users from taking the names that main and the instances of a pool have.
func checkWorkerName(name string) error {
	if err := checkName("worker name", name); err != nil {
		return err
	}
	if name == MainName || strings.HasPrefix(name, MainName+"/") {
		return fmt.Errorf("the worker name %q is reserved for the main process: choose another one", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" {
			return fmt.Errorf("the worker name %q has an empty part: write one name between two '/'", name)
		}
	}
	if last := name[strings.LastIndexByte(name, '/')+1:]; allDigits(last) {
		return fmt.Errorf(
			"the worker name %q ends in a number, as the name of one instance does: choose another one",
			name,
		)
	}
	return nil
}

// allDigits reports whether s is a number.
func allDigits(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

// instanceName returns the name of the instance i of a pool or, for a number below 0, that of a
// spare: -1 is the first one. No name that users choose has a point in it.
func instanceName(pool string, i int) string {
	if i < 0 {
		return pool + "/spare." + strconv.Itoa(-1-i)
	}
	return pool + "/" + strconv.Itoa(i)
}

// splitInstance takes the name of an instance apart. ok is false if name is not the name of an
// instance.
func splitInstance(name string) (pool string, i int, ok bool) {
	at := strings.LastIndexByte(name, '/')
	if at <= 0 || !allDigits(name[at+1:]) {
		return "", 0, false
	}
	i, err := strconv.Atoi(name[at+1:])
	return name[:at], i, err == nil
}

// splitKeyed takes a name apart that Keyed has made. bucket is 0 if the name is none.
func splitKeyed(name string) (pool string, bucket queue.Bucket) {
	pool, number, ok := strings.Cut(name, "#")
	if n, err := strconv.ParseUint(number, 10, 16); ok && err == nil && n <= queue.Buckets {
		return pool, queue.Bucket(n)
	}
	return name, 0
}

// shownName is what a text calls a receiver: a name that Keyed has made says nothing to its reader.
func shownName(name string) string {
	if pool, bucket := splitKeyed(name); bucket > 0 {
		return fmt.Sprintf("Keyed(%q, ...)", pool)
	}
	return name
}

// site is the place in the user's code of a registration, for texts about it. It is looked up only
// when a text is made, which takes longer than a registration.
type site [8]uintptr

// callSite returns the place where the user's code has called the package.
func callSite() *site {
	s := new(site)
	runtime.Callers(2, s[:])
	return s
}

// String returns the place as file:line.
func (s *site) String() string {
	frames := runtime.CallersFrames(s[:])
	for {
		f, more := frames.Next()
		own := strings.HasPrefix(f.Function, "github.com/multiprolab/multiprolab.") ||
			strings.HasPrefix(f.Function, "github.com/multiprolab/multiprolab/sockets.")
		if !own || strings.HasSuffix(f.File, "_test.go") {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		if !more {
			return "unknown place"
		}
	}
}

// registrationPanic ends the program on a mistake in a registration, as http.ServeMux does.
func registrationPanic(format string, args ...any) {
	panic("multiprolab: " + fmt.Sprintf(format, args...))
}

// poolNames returns the names of the pools in order.
func poolNames(pools map[string]int) []string {
	names := make([]string, 0, len(pools))
	for name := range pools {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
