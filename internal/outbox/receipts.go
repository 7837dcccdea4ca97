package outbox

import (
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Receipts is what a worker tells main, whose outbox waits for it, of the messages that it has got:
// which room is free again, and which messages have left its inbox. Its rules are mail.Receipts. It
// exists in the worker process. Any goroutine may use it, and no method waits.
type Receipts struct {
	mu     lockorder.Mutex[lockorder.Receipts] // guards every other field
	rules  mail.Receipts                       // what main is to be told
	link   *link.Link                          // the wire to main; nil before Open
	window int64                               // how many bytes main may send before it gets credit back
	prompt bool                                // main is told of each message at once, for no black box tells it
}

// Open says by which wire main is told, before the first message comes. window is how many bytes
// main may send before it gets credit back. With prompt set it is told of each message at once.
func (r *Receipts) Open(l *link.Link, window int64, prompt bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.link, r.window, r.prompt = l, window, prompt
}

// Give gathers bytes of room that are free again. gone is the serial of the message that has left
// the inbox with that, or 0; told says that main has been told already what became of the message.
// Give tells main when a quarter of the window has gathered; Flush does when the worker is idle.
func (r *Receipts) Give(bytes int64, gone uint64, told bool) {
	r.mu.Lock()
	due := r.rules.Credit(bytes, r.window)
	alone := false
	if gone > 0 {
		before := r.rules.UpTo()
		alone = !r.rules.Done(gone) && !told
		if now := r.rules.UpTo(); now != before {
			r.link.Count(now) // main reads the count if this process dies before it has sent the credit
		}
	}
	prompt := gone > 0 && r.prompt
	l := r.link
	r.mu.Unlock()
	if alone {
		l.Tell(link.Lazily, wire.NewCreditAlone(gone))
	}
	if due || prompt {
		r.Flush()
	}
	if prompt {
		l.Push()
	}
}

// Flush tells main what Give has gathered.
func (r *Receipts) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes, upTo, ok := r.rules.Take(); ok {
		r.link.Tell(link.Lazily, wire.NewCredit(bytes, upTo))
	}
}
