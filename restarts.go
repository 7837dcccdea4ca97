package multiprolab

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// restarts remembers the failures of one instance, and decides what follows from the end of a life.
// It exists in main; the instance's supervisor alone uses it.
type restarts struct {
	cfg      *WorkerConfig
	failures []failure // within the window; without a limit the last maxCauses of them
	row      int       // of failures, for the pauses
}

type failure struct {
	at  time.Time
	err error
}

// sequel is what follows from the end of a life.
type sequel struct {
	restart bool
	after   time.Duration
	limit   error // why it is not restarted although the config asks for it
}

// after decides about a life that ended by itself at the time now: not one that the program ended,
// or replaced.
func (r *restarts) after(end *lifeEnd, now time.Time) sequel {
	cfg := r.cfg
	switch {
	case cfg.Restart == RestartNever, cfg.Restart == RestartOnFailure && end.err == nil:
		return sequel{}
	case permanent(end.err):
		return sequel{limit: r.limitError(end, now, true)}
	case end.blamed: // it is the failure of a task, which has its outcome
		return sequel{restart: true}
	}
	// A life that never became ready ends no window: slow failures to start would else go on for
	// ever.
	for end.ready && len(r.failures) > 0 && now.Sub(r.failures[0].at) > cfg.RestartWindow {
		r.failures = r.failures[1:]
	}
	if end.ready && end.lasted > cfg.RestartReset {
		r.row = 0
	}
	r.row++
	r.failures = append(r.failures, failure{now, end.cause()})
	if cfg.RestartLimit < 0 {
		r.failures = r.failures[max(0, len(r.failures)-maxCauses):]
	} else if len(r.failures) > cfg.RestartLimit {
		return sequel{limit: r.limitError(end, now, false)}
	}
	return sequel{restart: true, after: r.pause()}
}

// pause returns the pause before the next restart.
func (r *restarts) pause() time.Duration {
	if r.row == 1 {
		return 0
	}
	d, most := float64(r.cfg.RestartDelay), float64(r.cfg.RestartMaxDelay)
	for range r.row - 2 {
		if d *= r.cfg.RestartFactor; d >= most {
			break
		}
	}
	return time.Duration(min(d, most) * (1 - r.cfg.RestartJitter*rand.Float64()))
}

func (r *restarts) limitError(end *lifeEnd, now time.Time, permanent bool) error {
	if permanent {
		r.failures = append(r.failures, failure{now, end.err})
	}
	e := &RestartLimitError{
		Worker:    end.worker,
		Restarts:  len(r.failures) - 1,
		Window:    r.cfg.RestartWindow,
		Err:       end.cause(),
		Permanent: permanent,
	}
	for _, f := range r.failures[max(0, len(r.failures)-maxCauses):] {
		e.Causes = append(e.Causes, f.err)
	}
	return e
}

// maxCauses is the greatest number of causes in a RestartLimitError.
const maxCauses = 10

// cause says why the life ended, even if it was without an error.
func (e *lifeEnd) cause() error {
	if e.err != nil {
		return e.err
	}
	return fmt.Errorf("multiprolab: worker %s ended by itself, without an error", e.worker)
}

// permanent reports whether another start would fail alike.
func permanent(err error) bool {
	var remote *RemoteError
	var start *StartError
	switch {
	case errors.As(err, &start) && start.permanent: // whatever is behind it
		return true
	case errors.As(err, &remote):
		return remote.final
	case errors.As(err, &start):
		return start.PID == 0 &&
			slices.ContainsFunc(
				[]error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOEXEC, syscall.EINVAL},
				func(e error) bool { return errors.Is(err, e) },
			)
	}
	return false
}
