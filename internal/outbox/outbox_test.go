package outbox

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// testWindow is the window of the receivers of these tests: room for two frames with bodies of
// testBody bytes.
const (
	testWindow = 4000
	testBody   = 1600
)

// receiver is a life of a receiver that reads when the test says so.
type receiver struct {
	t    *testing.T
	link *link.Link
	pipe *bytes.Buffer
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, pipe: new(bytes.Buffer)}
	r.link = link.New(&codec.Codec{}, &bytes.Buffer{}, r.pipe, link.Options{})
	return r
}

// types returns the types of the frames that have come.
func (r *receiver) types() (types []string) {
	require.NoError(r.t, r.link.Flush())
	for reader := wire.NewReader(r.pipe, 1<<20); ; {
		var f wire.Frame
		if reader.Next(&f) != nil {
			return types
		}
		if WasMarked(&f) {
			f.Type += " again"
		}
		types = append(types, f.Type)
	}
}

func message(typ string) *wire.Frame {
	return &wire.Frame{Kind: wire.Message, From: "a", Type: typ, Body: make([]byte, testBody)}
}

// ofMain returns an outbox as main has it.
func ofMain(again int) *Outbox {
	return New(Config{
		Window:  testWindow,
		Stall:   func(context.Context) (<-chan error, func()) { return nil, func() {} },
		CauseOf: context.Cause,
		Tracks:  true,
		Again:   again,
	})
}

// lifeOf is a life that sends what main passes on.
type lifeOf struct {
	given int64
	lost  []string
}

func (l *lifeOf) Grant(bytes int64)       { l.given += bytes }
func (l *lifeOf) Lost(p *Parcel, _ error) { l.lost = append(l.lost, p.Frame.Type) }

// asked is a call that main passes on.
type asked struct{ Carriage }

// TestSenderWaits: a sender waits while the receiver has no room, until it has been written, the
// sender's context has ended, or the sender is told that it must not wait.
func TestSenderWaits(t *testing.T) {
	refusal := errors.New("refused")
	for name, c := range map[string]struct {
		then func(o *Outbox, cancel context.CancelCauseFunc, refused chan<- error)
		want error
	}{
		"room":    {func(o *Outbox, _ context.CancelCauseFunc, _ chan<- error) { o.Granted(2000, 1) }, nil},
		"its end": {func(_ *Outbox, cancel context.CancelCauseFunc, _ chan<- error) { cancel(refusal) }, refusal},
		"no":      {func(_ *Outbox, _ context.CancelCauseFunc, refused chan<- error) { refused <- refusal }, refusal},
		"closed":  {func(o *Outbox, _ context.CancelCauseFunc, _ chan<- error) { o.Close(refusal) }, refusal},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refused, waits, starved := make(chan error, 1), 0, 0
				o := ofMain(0)
				o.cfg.Starved = func() { starved++ }
				o.cfg.Stall = func(context.Context) (<-chan error, func()) {
					waits++
					return refused, func() { waits-- }
				}
				r := newReceiver(t)
				o.AttachWhole(r.link)
				ctx, cancel := context.WithCancelCause(t.Context())
				for range 2 {
					require.NoError(t, o.Send(ctx, message("first"), nil, nil, link.Soon))
				}
				sent := make(chan error, 1)
				go func() { sent <- o.Send(ctx, message("last"), nil, nil, link.Soon) }()
				synctest.Wait()
				require.Equal(t, 1, waits)
				require.Equal(t, 1, starved)
				require.Equal(t, 3, o.Load())
				c.then(o, cancel, refused)
				require.ErrorIs(t, <-sent, c.want)
				require.Zero(t, waits)
				want := []string{"first", "first"}
				if c.want == nil {
					want = append(want, "last")
				}
				require.Equal(t, want, r.types())
			})
		})
	}
}

// TestWhatALifeLeaves: what a life has not handled goes to the next life in its order, as often as
// the outbox is told, before what has waited; without that it is lost. Calls are lost in any case.
func TestWhatALifeLeaves(t *testing.T) {
	for again, want := range map[int]struct{ lost, next []string }{
		0: {[]string{"one", "two"}, []string{"three"}},
		1: {nil, []string{"one again", "two", "three"}},
	} {
		o, by := ofMain(again), &lifeOf{}
		first, next := newReceiver(t), newReceiver(t)
		o.AttachWhole(first.link)
		post := func(f *wire.Frame, call Call) {
			_, err := o.Post(&Parcel{Frame: f, Call: call, From: by, Cost: f.Cost()}, link.Soon)
			require.NoError(t, err)
		}
		call := &asked{}
		post(message("one"), nil)
		post(&wire.Frame{Kind: wire.Call, Type: "call"}, call)
		post(message("two"), nil)
		given := by.given
		post(message("three"), nil)
		require.Equal(t, given, by.given, "what waits holds credit")
		require.Equal(t, []string{"one", "call", "two"}, first.types())
		o.Died(0, 1)
		lost, calls, worked := o.Detach()
		require.False(t, worked)
		require.Equal(t, []Call{call}, calls)
		var types []string
		for i := range lost {
			types = append(types, lost[i].Type)
			require.Nil(t, lost[i].Kept, "main does not have it")
		}
		require.Equal(t, want.lost, types)
		o.Attach(next.link, 1<<20, 1<<20)
		require.Equal(t, want.next, next.types())
		require.Greater(t, by.given, given)
		lost, calls = o.Close(errors.New("closed"))
		require.Empty(t, lost, "all were written")
		require.Empty(t, calls)
		_, err := o.Post(&Parcel{Frame: message("four"), From: by}, link.Soon)
		require.Error(t, err)
		require.Empty(t, by.lost)
	}
}

// TestDeadlineRunsWhileACallWaits: a call that has waited for room says how much time is left of
// its own, and can be taken back before it is written.
func TestDeadlineRunsWhileACallWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, r, by := ofMain(0), newReceiver(t), &lifeOf{}
		var calls [2]asked
		for i := range calls {
			f := &wire.Frame{Kind: wire.Call, Left: time.Minute}
			_, err := o.Post(&Parcel{Frame: f, Call: &calls[i], From: by, Cost: 1}, link.Soon)
			require.NoError(t, err)
		}
		for _, want := range []bool{true, false} {
			number, withdrawn := o.Cancel(&calls[1])
			require.Zero(t, number)
			require.Equal(t, want, withdrawn)
		}
		require.EqualValues(t, 1, by.given)
		time.Sleep(20 * time.Second)
		o.AttachWhole(r.link)
		require.NoError(t, r.link.Flush())
		var f wire.Frame
		require.NoError(t, wire.NewReader(r.pipe, 1<<20).Next(&f))
		require.Equal(t, 40*time.Second, f.Left)
		number, withdrawn := o.Cancel(&calls[0])
		require.False(t, withdrawn, "it was written")
		require.NotZero(t, number)
		require.Equal(t, f.ID, number)
		require.Same(t, &calls[0], o.Answered(number))
		require.Nil(t, o.Answered(number))
		number, _ = o.Cancel(&calls[0])
		require.Zero(t, number, "it has its reply")
	})
}

// TestBroadcastGivesCreditBackOnce: a broadcast holds its sender's credit until its last parcel has
// been written, and who has posted them is done.
func TestBroadcastGivesCreditBackOnce(t *testing.T) {
	by := &lifeOf{}
	all := NewBroadcast(by, 100, 2)
	outs := []*Outbox{ofMain(0), ofMain(0)}
	outs[0].AttachWhole(newReceiver(t).link)
	for _, o := range outs {
		_, err := o.Post(&Parcel{Frame: message("news"), From: all}, link.Soon)
		require.NoError(t, err)
	}
	all.Grant(0)
	require.Zero(t, by.given)
	outs[1].AttachWhole(newReceiver(t).link)
	require.EqualValues(t, 100, by.given)
}

// TestPiecesHoldCredit: the pieces of a stream hold the credit of who yields them until they are
// taken, or until the stream begins again or ends. They may be taken all the same, and no more.
func TestPiecesHoldCredit(t *testing.T) {
	var s Streams
	by := &lifeOf{}
	require.False(t, s.Hold(7, by, 10), "nobody waits for pieces")
	require.True(t, s.Open(7))
	for range 3 {
		require.True(t, s.Hold(7, by, 10))
	}
	require.True(t, s.Took(7))
	require.EqualValues(t, 10, by.given)
	s.Again(7)
	require.EqualValues(t, 30, by.given)
	require.True(t, s.Hold(7, by, 10))
	s.End(7)
	require.EqualValues(t, 40, by.given)
	require.False(t, s.Hold(7, by, 10))
	for range 3 {
		require.True(t, s.Took(7))
	}
	require.False(t, s.Took(7))
	require.True(t, s.Open(8))
	require.True(t, s.Hold(8, by, 10))
	require.Equal(t, []uint64{8}, s.Drain())
	require.EqualValues(t, 50, by.given)
	require.False(t, s.Open(9))
}
