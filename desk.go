package multiprolab

import (
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/logbook"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/recorder"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// desk is what the parts of main that deal with one worker (slot, peer, client, callEntry) know of
// main as a whole: where the frames of a worker go, and what all of these parts need. It exists in
// main, one for all workers. It does not change once the program runs, and any goroutine may read
// it.
type desk struct {
	cfg       *Config                  // the configuration, with the defaults filled in
	codec     *codec.Codec             // the definitions of types that main has met
	receiver  *MessageReceiver         // the receiver of main
	identity  string                   // the identity of the program's file; "" for workers in this process
	calls     callDesk                 // where messages, calls and replies go
	tasks     taskDesk                 // where everything about tasks goes
	emit      func(e Event)            // tells of an event
	flight    *recorder.Log            // where what happens is noted
	emitLost  func(lost []*DeadLetter) // tells of the messages that one death has lost
	logs      *logbook.Book            // where the workers' logs go
	exit      func()                   // requests the end of the program
	doomed    func(at *seat)           // tells that a life is about to be killed
	left      func(handled uint64)     // notes the messages of an instance that is in no pool any more
	stopCause func() error             // returns what ends everything that comes too late
	// share answers a worker that asks for shared data. An error says that the worker lies.
	share func(p *peer, f *wire.Frame) error
}

// callDesk is what the router of main does for the workers. No method waits.
type callDesk interface {
	// forward routes a message or a call of a worker, which cost it n bytes of credit.
	forward(from *peer, f *wire.Frame, n int64)
	// replied routes the outcome of a call back to its caller, and returns the link to be pushed,
	// or nil.
	replied(e *callEntry, outcome *reply, f *wire.Frame) (to *link.Link)
	// cancelCallOf says that a worker does not wait for the reply to its call any more.
	cancelCallOf(origin *client, id uint64, soft bool)
	// bounce reports a message that cannot be delivered.
	bounce(f *wire.Frame, err error)
}

// taskDesk is what the broker of main does for the workers. An error says that the worker lies, or
// why a task or a wait is refused. No method waits.
type taskDesk interface {
	// enter makes a worker known that has become ready.
	enter(p *peer, r *readiness) error
	// retire sees to it that a worker is given nothing new. It reports whether the worker is ready
	// and alive.
	retire(p *peer) bool
	// submit takes a task of a worker.
	submit(j *job, m *meta.Task, typ string, wait bool) error
	// cancel cancels a task for the worker that has submitted it.
	cancel(submitter *client, id uint64, soft bool)
	// started says that a worker has begun with a task.
	started(p *peer, id uint64) error
	// split gives back the items of a batch from this index on.
	split(p *peer, id, from uint64) error
	// returned gives back a task that was recalled.
	returned(p *peer, id uint64) error
	// progress passes a report on a task on, which cost the worker n bytes of credit.
	progress(p *peer, f *wire.Frame, n int64) error
	// checkpointed keeps what the next attempt at a task is to know.
	checkpointed(p *peer, f *wire.Frame) error
	// result is the outcome of an attempt at a task, or at a batch if many is set.
	result(p *peer, id uint64, r *reply, many bool) error
	// fetch asks for a task of one of some types.
	fetch(p *peer, id uint64, types string, wait bool) error
	// cancelFetch takes a fetch back.
	cancelFetch(p *peer, id uint64)
	// await says that the loop of a worker waits for a task, or for room.
	await(c *client, id, spell uint64, room bool) error
	// endWait says that one wait of a process is over.
	endWait(by string, id uint64)
	// endWaits says that all waits of a process are over.
	endWaits(by string)
}

// roomWait is the number by which the broker knows the wait of a worker for room. No call and no
// task has it. If a worker says several times that it waits for room, that is one wait.
const roomWait = 1 << 63

// refusalFrame returns the frame that tells a worker that its loop must not wait for a task.
func refusalFrame(id, spell uint64, err error) *wire.Frame {
	return wire.NewRefusal(id, spell, marshalError(err))
}

// endWait implements clientDesk.
func (d *desk) endWait(by string, id uint64) { d.tasks.endWait(by, id) }

// endWaits implements clientDesk.
func (d *desk) endWaits(by string) { d.tasks.endWaits(by) }

// cancelAll implements clientDesk.
func (d *desk) cancelAll(of *client) { d.receiver.cancelAll(of) }
