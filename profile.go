package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/inspect"
)

// This file is how main looks into a worker that goes on.

// ProfileConfig says how a profile is taken. The zero value is good.
type ProfileConfig struct {
	// Duration is how long "cpu" and "trace" are recorded. Zero means 30 s for "cpu" and 1 s for
	// "trace". All other profiles are what the process has counted so far, and have no duration.
	Duration time.Duration
	// Debug is the form of all profiles but "cpu" and "trace": 0 for that of go tool pprof, 1 for
	// text, 2 for the text of "goroutine" that a panic prints.
	Debug int
	// GC runs the garbage collector of the process first, so that "heap" has no garbage in it.
	GC bool
	// MaxSize is the greatest size of the profile in bytes. Zero means 64 MiB. A larger profile is
	// an error.
	MaxSize int64
}

const (
	// cpuDuration and traceDuration are the durations of profiles that have none set.
	cpuDuration   = 30 * time.Second
	traceDuration = time.Second
	// maxProfile is ProfileConfig.MaxSize if that is zero.
	maxProfile = 64 << 20
	// maxDump is the greatest size of a dump in bytes.
	maxDump = 8 << 20
	// answerTime is how long an answer may take, beyond the duration of a profile, if the caller's
	// context has no deadline.
	answerTime = 30 * time.Second
)

// Dump returns the stacks of all goroutines of a worker, such as "thumbnailer/2", of a spare, such
// as "thumbnailer/spare.0", or of main, whose name is "main". The worker goes on. It may be in its
// setup function, its handler may spin or hang, or be deep in C: the stacks are not asked of its
// loop.
//
// Stacks of more than 8 MiB are cut. An error says that there is no such worker, that it has no
// process at the moment, that the process has ended before its answer was complete, or that ctx has
// ended: so it does for a process that is stopped, or whose Go runtime hangs. If ctx has no
// deadline, that is after 30 s. With Config.InProcess the stacks are those of the whole process.
func (m *Main) Dump(ctx context.Context, worker string) (string, error) {
	var b strings.Builder
	err := m.inspect(ctx, worker, "stacks", &inspect.Question{Profile: inspect.Stacks, Limit: maxDump}, &b)
	if err != nil {
		return "", err
	}
	return b.String(), nil
}

// Profile writes a profile of a worker or of main, which is named as for Dump, to w. The worker
// goes on; what Dump says of workers whose handlers spin or hang goes for profiles as well. cfg may
// be nil.
//
//	"cpu"             where processor time goes, recorded for a while; a process has one at a time
//	"trace"           what happens when, recorded for a while, for go tool trace; one at a time
//	"heap"            what is in memory
//	"allocs"          what was allocated since the start
//	"goroutine"       the stacks of all goroutines, counted
//	"threadcreate"    which stacks have made threads
//	"block", "mutex"  who waits for whom, in a process that has called
//	                  runtime.SetBlockProfileRate or runtime.SetMutexProfileFraction
//
// A profile that the worker has made with pprof.NewProfile has the name that it got there.
//
// The profile comes in pieces, between the worker's messages: main keeps no more than 256 KiB of
// it, and the worker, for a w that is slow, no more than MaxSize. After an error, which may also be
// that of w, a part of the profile may have been written. The errors are those of Dump, and that a
// profile is larger than MaxSize, that the process records another one already, or that it has none
// of that name, which is an fs.ErrNotExist. If ctx has no deadline, Profile gives up 30 s after the
// duration.
//
// With Config.InProcess the profile is that of the whole process. Package profiles serves profiles
// over HTTP.
func (m *Main) Profile(ctx context.Context, w io.Writer, worker, profile string, cfg *ProfileConfig) error {
	q := &inspect.Question{Profile: profile}
	if cfg != nil {
		q.Duration, q.Debug, q.Collect, q.Limit = cfg.Duration, cfg.Debug, cfg.GC, cfg.MaxSize
	}
	usual := map[string]time.Duration{inspect.CPU: cpuDuration, inspect.Trace: traceDuration}[profile]
	switch {
	case profile == "":
		return &ConfigError{"the profile", `""`, `give it a name, such as "heap"`}
	case q.Duration < 0:
		return &ConfigError{"ProfileConfig.Duration", q.Duration, "use 0 or more"}
	case q.Limit < 0:
		return &ConfigError{"ProfileConfig.MaxSize", q.Limit, "use 0 for 64 MiB, or more"}
	case usual == 0 && q.Duration > 0:
		reason := fmt.Sprintf("%q is not recorded over a time: only \"cpu\" and \"trace\" are", profile)
		return &ConfigError{"ProfileConfig.Duration", q.Duration, reason}
	}
	q.Limit, q.Duration = cmp.Or(q.Limit, maxProfile), cmp.Or(q.Duration, usual)
	return m.inspect(ctx, worker, fmt.Sprintf("profile %q", profile), q, w)
}

// inspect has a process answer a question, and writes the answer to w. what is what the question is
// for.
func (m *Main) inspect(ctx context.Context, worker, what string, q *inspect.Question, w io.Writer) error {
	if _, ok := ctx.Deadline(); !ok {
		late := fmt.Errorf("no answer came within %v", q.Duration+answerTime)
		bounded, cancel := context.WithTimeoutCause(ctx, q.Duration+answerTime, late)
		defer cancel()
		ctx = bounded
	}
	p, err := m.inspected(worker)
	if err != nil {
		return err
	}
	defer stall(ctx)() // perhaps the loop of main waits
	of := worker
	if p == nil {
		err = inspect.Local(ctx, q, w)
	} else {
		of = fmt.Sprintf("worker %s (pid %d)", worker, p.pid())
		err = p.process.Inspect(ctx, q, w)
	}
	if err != nil && ctx.Err() != nil {
		if err == context.Cause(ctx) {
			err = contexts.CauseOf(ctx)
		} else {
			err = contexts.AlsoEnded(ctx, err)
		}
		if p != nil {
			if signal := p.process.Stopped(); signal != "" {
				err = fmt.Errorf("its process is stopped by %s: %w", signal, err)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("multiprolab: %s of %s: %w", what, of, err)
	}
	return nil
}

// inspected returns the present life of a worker, or nil if the worker is main, or is goroutines of
// main.
func (m *Main) inspected(worker string) (*peer, error) {
	if e := m.outside(); e != nil { // also if main is asked for: this process is a worker
		return nil, e
	}
	if worker == MainName {
		return nil, nil
	}
	if err := m.running(); err != nil {
		return nil, err
	}
	s, stands, err := m.fleet.named(worker)
	if unknown, ok := err.(*UnknownReceiverError); ok {
		unknown.Known = append(unknown.Known, MainName)
	}
	if err != nil {
		return nil, err
	}
	if m.cfg.InProcess {
		return nil, nil
	}
	life := s.running()
	if life == nil || !life.greeted.Load() {
		return nil, fmt.Errorf("multiprolab: worker %s has no process that could be asked yet: it is %s",
			worker, stands)
	}
	return life, nil
}
