package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/upgrade"
)

// ErrUpgrade is the cause of the end of a program that goes on as its new version, see
// [Main.Upgrade]. [ProgramEnding] has it, and [Main.Cause].
var ErrUpgrade = errors.New("multiprolab: the program goes on as its new version")

// upgrading is how far the upgrade of a Main has come. It exists in main. Any goroutine may use it.
type upgrading struct {
	// path is where the next version of the program's file is looked for. prepare sets it, and it
	// does not change after that.
	path string
	// report is a trial's way to the old version of the program; nil in all other processes.
	// prepare sets it, and it does not change after that.
	report *upgrade.Reporter
	// handed is what this process was handed by the old version of the program, if that was for
	// this Main; otherwise nil. prepare sets it, and it does not change after that.
	handed *upgrade.Handed
	// bridged is closed when the trial that has served until the workers of this version were ready
	// has ended; nil if there was none. prepare sets it, and it does not change after that.
	bridged chan struct{}
	// abandoned is closed when the program is to end, whatever Upgrade has begun. New makes it, and
	// abandon closes it, before the milestone exitAsked.
	abandoned chan struct{}
	// busy says that an Upgrade is under way.
	busy atomic.Bool

	// mu guards next, giveUp and tasks, and the closing of abandoned.
	mu sync.Mutex
	// next is what executes the new file when nothing is left of the workers, or nil. It returns if
	// that fails.
	next func() error
	// giveUp ends the trial, if the program does not go on as its new version after all; or nil. It
	// returns when nothing of the trial is left, and may be called more than once.
	giveUp func()
	// tasks are the tasks that are handed over, by their numbers.
	tasks map[queue.ID]upgrade.Task
}

// goesOn reports whether the program that has been asked to end goes on as its new version.
func (u *upgrading) goesOn() bool { return u.nextVersion() != nil }

// nextVersion returns what executes the new file, or nil.
func (u *upgrading) nextVersion() func() error {
	if goroutine.Closed(u.abandoned) {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.next
}

// prepareNext sets what executes the new file, and what ends its trial.
func (u *upgrading) prepareNext(next func() error, giveUp func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.next, u.giveUp = next, giveUp
}

// abandon notes that the program is to end, whatever Upgrade has begun.
func (u *upgrading) abandon() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !goroutine.Closed(u.abandoned) {
		close(u.abandoned)
	}
}

// endTrial waits until nothing of a trial is left. It does nothing if there is none.
func (u *upgrading) endTrial() {
	u.mu.Lock()
	giveUp := u.giveUp
	u.mu.Unlock()
	if giveUp != nil {
		giveUp()
	}
}

// settled waits until the trial of the last upgrade has finished what it has: its stderr comes by
// main, which alone can attend to its end, and cannot hand that on.
func (u *upgrading) settled(ctx context.Context, exitAsked <-chan struct{}, log *slog.Logger) error {
	if u.bridged == nil || goroutine.Closed(u.bridged) {
		return nil
	}
	log.Info("multiprolab: main waits until the trial of the last upgrade has finished what it has")
	select {
	case <-u.bridged:
	case <-exitAsked: // who asks for an upgrade then is told so
	case <-ctx.Done():
		return fmt.Errorf("multiprolab: the trial of the last Upgrade has not ended yet: %w", context.Cause(ctx))
	}
	return nil
}

// fail reports to the old version of the program why its trial has failed. It does nothing in other
// processes, and once the workers of the trial were ready.
func (u *upgrading) fail(err error) {
	if u.report != nil && err != nil {
		u.report.Failed(err)
	}
}

// handOver notes a task that the new version goes on with, and its number in this one.
func (u *upgrading) handOver(id queue.ID, t upgrade.Task) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tasks == nil {
		u.tasks = map[queue.ID]upgrade.Task{}
	}
	u.tasks[id] = t
}

// handedOver returns the tasks that the new version goes on with, in the order of their submission:
// those that a worker had, and did not begin, have come last.
func (u *upgrading) handedOver() (all []upgrade.Task) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(u.tasks)) {
		all = append(all, u.tasks[id])
	}
	return all
}

// trial reports whether this process only tries the new version of the program.
func (u *upgrading) trial() bool { return u.report != nil }
