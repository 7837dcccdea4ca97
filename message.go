package multiprolab

import (
	"context"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// Message is what a handler is given: who sent it, what kind it is, and its encoded body. It exists
// in the process of its receiver and belongs to the handler.
type Message struct {
	Sender   string // name of the process that sent it, as main knows it: "main" or an instance such as "thumbnailer/2"
	Receiver string // name of the process that it came to
	Type     string
	Header   map[string]string // what a Middleware of its sender has set, or nil
	// Missed is, of a report of progress, how many before it were dropped, while nobody waited for
	// the outcome.
	Missed int

	// payload is the body. It does not change.
	payload codec.Payload
	// chain is the names of the processes whose loops wait for this call, separated by commas. It
	// does not change.
	chain string
	// reply sends the outcome of a call, and is called once; it is nil for a one-way message. It
	// does not change.
	reply func(*reply)
	// left gives so many bytes of credit back or, if the message has left the inbox, what is left
	// of its credit. It is nil for a message of a process to itself. It does not change.
	left func(m *Message, bytes int64, gone bool)
	// id is the number of the call. It does not change.
	id uint64
	// from is, in main, the life of a worker that has sent the message, a *client. It is nil for
	// messages of main, and in a worker. It does not change.
	from any
	// serial is the number, from 1, of a one-way message among those that main has sent to this
	// life of a worker. It is 0 for other messages. It does not change.
	serial uint64
	// scope is the scope of the handler. Its stage is that of the receiver from the beginning; the
	// loop sets the rest.
	scope scope
	// size is how many bytes of credit the message has cost its sender that were not given back,
	// see cost. Any goroutine may use it.
	size atomic.Int64
	// attempt is, of a report of progress, the number of the attempt that reports. It does not
	// change.
	attempt int32
	// told says that main was told what became of the message. Only the goroutine that has the
	// message uses it.
	told bool
	// Redelivered says that a handler of this worker has perhaps begun with the message already, in
	// an earlier life; see WorkerConfig.Redeliver.
	Redelivered bool
	// decoded says that a []byte may have got the memory of the payload. Any goroutine may use it.
	decoded atomic.Bool
}

// Decode decodes the body into the value that v points to, which has the type of the value that was
// sent. A []byte or a string decodes into one of these, nil into an interface, a pointer or an
// empty struct; into an interface also a value of a type that gob.Register knows. Any other type is
// a *DecodeError.
//
// The first []byte that is decoded is the memory of the message itself, which saves a copy: who
// changes it and decodes again finds the change.
func (m *Message) Decode(v any) error {
	decode := m.scope.stage.codec.Take
	if !m.decoded.CompareAndSwap(false, true) {
		decode = m.scope.stage.codec.Decode
	}
	if err := decode(m.payload, v); err != nil {
		return &DecodeError{Receiver: m.Receiver, Type: m.Type, Err: err}
	}
	return nil
}

// Size returns the length of the encoded body in bytes.
func (m *Message) Size() int { return len(m.payload.Data) }

// giveBack gives the sender its credit back before the message leaves.
func (m *Message) giveBack() {
	if m.left == nil {
		return
	}
	if size := m.size.Swap(0); size > 0 {
		m.left(m, size, false)
	}
}

// leaveInbox tells the sender that the message takes no room any more, and that somebody has seen
// to it.
func (m *Message) leaveInbox() {
	if m.left != nil {
		m.left(m, m.size.Swap(0), true)
	}
}

// kind implements work.
func (m *Message) kind() (verb, typ string) {
	if m.reply != nil {
		return "call", m.Type
	}
	return "message", m.Type
}

// waiters implements work.
func (m *Message) waiters() string { return m.chain }

// arriving returns what the middlewares see of the message.
func (m *Message) arriving() *Operation {
	verb, _ := m.kind()
	return &Operation{Kind: verb, Type: m.Type, Sender: m.Sender, Receiver: m.Receiver, Header: m.Header}
}

// MessageFrom returns the message or call whose handler runs under ctx, or nil.
func MessageFrom(ctx context.Context) *Message {
	if s, _ := ctx.Value(scopeKey{}).(*scope); s != nil {
		m, _ := s.work.(*Message)
		return m
	}
	return nil
}
