package multiprolab

import (
	"strconv"

	"github.com/multiprolab/multiprolab/internal/ring"
)

// This file is what main keeps of the pieces of a stream, and how their attempt travels.

// streamed is the pieces of one stream that a worker was sent and has not taken. It exists in main
// until the stream ends; the mutex of the client guards it.
type streamed struct {
	// held are the pieces, in order.
	held ring.Ring[heldPiece]
}

// mostVoid is of how many runs of a stream that begins again the pieces hold no credit any more
// while they wait for a slow range. Those of further runs hold it, so that they have a bound.
const mostVoid = 8

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
