package multiprolab

import (
	"fmt"
	"strconv"

	"github.com/multiprolab/multiprolab/internal/ring"
)

// This file is what main keeps of the pieces of a stream, how their attempt travels, and how the
// end of the pieces does.

// streamed is the pieces of one stream that a worker was sent and has not taken. It exists in main
// until the stream ends; the mutex of the client guards it.
type streamed struct {
	// held are the pieces, in order.
	held ring.Ring[heldPiece]
}

// heldPiece is one piece. It does not change.
type heldPiece struct {
	from  interface{ grant(bytes int64) } // the life of the worker that has yielded it
	bytes int64                           // how many bytes of its credit the piece holds
}

// attemptText and attemptIn are the number of the attempt as main tells it to a worker with a
// piece. The first one needs no text.
func attemptText(attempt int) string {
	if attempt <= 1 {
		return ""
	}
	return strconv.Itoa(attempt)
}

func attemptIn(text string) int32 {
	if text == "" {
		return 1
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 1
	}
	return int32(n)
}

// streamEnd is the result of a task whose handler yields pieces: no other value is taken for it.
type streamEnd struct {
	EndOfPieces bool // true
}

// beginPieces notes that the handler of the task yields pieces from now on. It returns an error if
// nobody could take them, or if the handler has yielded some already.
func (t *Task) beginPieces() error {
	if t.batch {
		return fmt.Errorf("multiprolab: %w", resultInPieces(t.Type))
	}
	if t.streams {
		return secondNext("task", t.Type)
	}
	t.streams = true
	return nil
}

// resultInPieces makes the error of who wants the result of a task at once that comes in pieces.
func resultInPieces(typ string) error {
	return fmt.Errorf("the result of task %q comes in pieces: submit it with Stream", typ)
}

// endOfPieces returns the error of the outcome of a stream, or nil if all pieces have come.
func (v *values) endOfPieces(typ string, r *reply) error {
	if r.err != nil {
		return v.recognise(r.err)
	}
	if !v.isStreamEnd(r) {
		return fmt.Errorf("multiprolab: task %q has a result, and no pieces: submit it with Do or Submit, "+
			"or register its handler with HandleStream", typ)
	}
	return nil
}

// isStreamEnd reports whether an outcome is the end of the pieces of a stream.
func (v *values) isStreamEnd(r *reply) bool {
	var end streamEnd
	return v.codec.Decode(r.payload, &end) == nil && end.EndOfPieces
}

// streams reports whether who waits for the outcome of the job takes it in pieces.
func (j *job) streams() bool { return j.stream || j.sub != nil && j.sub.streams }

// run returns which run at the job this is, or was: the number of its attempt, but that attempts
// that were put off count as well.
func (j *job) run() int {
	if j.past == nil {
		return j.Begun()
	}
	return j.Begun() + j.past.putOff
}
