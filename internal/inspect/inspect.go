// Package inspect looks into a Go process: at the stacks of its goroutines and at its profiles. It
// carries what it has found from a worker to main, piece by piece, and bounded at both ends.
//
// It knows no frames, names and tasks. Main asks a Question of one life of a worker, the worker
// answers in Pieces. Main says of each piece when it has taken it, and the worker has no more than
// Window of them on the way: so neither a large profile nor a slow reader of it holds up messages,
// or takes memory in main. What does not fit into the limit of the question is left out, of stacks,
// or is an error, of a profile.
//
// Questions exists in main, and Answers in a worker; Local has a process ask itself.
package inspect

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// The profiles that are taken over a time. All others are those of package runtime/pprof.
const (
	CPU   = "cpu"
	Trace = "trace"
)

// Stacks is the name of what is no profile: the stacks of all goroutines, as text. What is longer
// than the limit is cut.
const Stacks = ""

// Question is what is asked of a process.
type Question struct {
	// Profile is the name of the profile, or Stacks.
	Profile string
	// Duration is how long a profile of CPU or Trace is taken.
	Duration time.Duration
	// Debug is the form of the other profiles, as in pprof.Profile.WriteTo.
	Debug int
	// Collect says that the garbage collector runs before the profile is taken.
	Collect bool
	// Limit is the greatest length of the answer in bytes.
	Limit int64
}

// Pack describes the layout.
func (q *Question) Pack(p *pack.Packing) {
	pack.Text(p, &q.Profile)
	pack.Number(p, &q.Duration)
	pack.Number(p, &q.Debug)
	pack.Flag(p, &q.Collect)
	pack.Number(p, &q.Limit)
}

// errTooLarge is the error of an answer that does not fit into the limit of its question.
type errTooLarge struct {
	limit int64 // in bytes
}

func (e errTooLarge) Error() string {
	return fmt.Sprintf("it is larger than the limit of %d bytes: take it for a shorter time, or raise the limit",
		e.limit)
}

// errUnknown is the error of a question about a profile that the process does not have. It is an
// fs.ErrNotExist.
type errUnknown struct {
	text string // says which profile, and which there are
}

func (e errUnknown) Error() string { return e.text }

func (errUnknown) Is(target error) bool { return target == fs.ErrNotExist }

// unknown is how the text of an errUnknown begins.
func (q *Question) unknown() string { return fmt.Sprintf("there is no profile %.100q", q.Profile) }

// failure returns the error that the process has answered with, whose text has crossed alone.
func (q *Question) failure(err error) error {
	if strings.HasPrefix(err.Error(), q.unknown()) {
		return errUnknown{err.Error()}
	}
	return err
}

// Answer looks into the process that it runs in, and writes what it finds to w. It waits as long as
// the question says; when ctx ends before, it returns the cause of that.
func (q *Question) Answer(ctx context.Context, w io.Writer) error {
	if q.Profile == Stacks {
		_, err := w.Write(stacks(int(q.Limit)))
		return err
	}
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := &boundedWriter{w: w, left: q.Limit, full: errTooLarge{q.Limit}, stop: cancel}
	if err := q.profile(bounded, b); err != nil {
		return err
	}
	return context.Cause(bounded) // some writers of profiles keep the errors of w to themselves
}

// profile writes a profile to w.
func (q *Question) profile(ctx context.Context, w io.Writer) error {
	switch q.Profile {
	case CPU:
		if err := pprof.StartCPUProfile(w); err != nil {
			return fmt.Errorf("%w: a process has one at a time, wait for the end of the other one", err)
		}
		err := q.wait(ctx)
		pprof.StopCPUProfile()
		return err
	case Trace:
		if err := trace.Start(w); err != nil {
			return fmt.Errorf("%w: a process has one trace at a time, wait for the end of the other one", err)
		}
		err := q.wait(ctx)
		trace.Stop()
		return err
	}
	p := pprof.Lookup(q.Profile)
	if p == nil {
		return errUnknown{fmt.Sprintf("%s: the process has %s", q.unknown(), strings.Join(Profiles(), ", "))}
	}
	if q.Collect {
		runtime.GC()
	}
	return p.WriteTo(w, q.Debug)
}

// wait lets the time of the question pass. It returns the cause of the end of ctx if that comes
// first.
func (q *Question) wait(ctx context.Context) error {
	timer := time.NewTimer(q.Duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Profiles returns the names of the profiles that this process has, sorted.
func Profiles() []string {
	names := map[string]bool{CPU: true, Trace: true}
	for _, p := range pprof.Profiles() {
		names[p.Name()] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// leastStacks is with how many bytes the search for a memory begins that has room for all stacks.
const leastStacks = 64 << 10

// cutStacks stands behind stacks that were cut.
const cutStacks = "\n\n... the stacks of further goroutines are left out\n"

// stacks returns the stacks of all goroutines, as much as fits into limit bytes.
func stacks(limit int) []byte {
	for size := min(leastStacks, limit); ; size = min(4*size, limit) {
		buf := make([]byte, size)
		n := runtime.Stack(buf, true)
		if n < size {
			return buf[:n]
		}
		if size == limit {
			return append(buf[:max(0, size-len(cutStacks))], cutStacks...)[:size]
		}
	}
}

// boundedWriter hands on what is written to it, up to a limit.
type boundedWriter struct {
	w    io.Writer               // gets what is written
	left int64                   // how many bytes may still come
	full error                   // the error when more comes
	stop context.CancelCauseFunc // ends what writes when more comes
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		b.stop(b.full)
		return 0, b.full
	}
	return b.w.Write(p)
}
