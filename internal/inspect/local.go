package inspect

import (
	"context"
	"io"
)

// Local has the process that it is called in answer a question, and writes the answer to w, until
// the answer is complete or ctx ends. As with a worker, what makes the profile never waits for w: a
// slow one costs memory, and no more than the limit of the question.
func Local(ctx context.Context, q *Question, w io.Writer) error {
	var questions Questions
	var answers Answers
	return questions.Put(ctx, q, w, Wire{
		Ask: func(id uint64, q *Question) {
			answers.Begin(id, q, func(p Piece) { questions.Take(id, p) })
		},
		Taken:  answers.Taken,
		Cancel: answers.Cancel,
	}, nil, nil)
}
