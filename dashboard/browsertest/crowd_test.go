package browsertest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// A thousand workers, queues and types are shown, and the page still answers.
func TestACrowd(t *testing.T) {
	const n = 1000
	app := multiprolab.New(&multiprolab.Config{InProcess: true, Name: "crowd"})
	setup := func(_ context.Context, w *multiprolab.Worker) error {
		for i := range n {
			multiprolab.HandleTask(w, fmt.Sprint("type", i), func(_ context.Context, i int) (int, error) {
				return i, nil
			})
		}
		return nil
	}
	var queues []string
	for i := range n {
		queues = append(queues, fmt.Sprint("queue", i))
	}
	app.RegisterWorker("worker", setup, &multiprolab.WorkerConfig{Count: n})
	app.RegisterWorker("other", setup, &multiprolab.WorkerConfig{Queues: queues})
	require.NoError(t, app.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, app.Close()) })
	for i := range n {
		queue := queues[i]
		app.Tasks().Pause(queue)
		for _, o := range []*multiprolab.TaskOptions{{Queue: queue}, nil} {
			_, err := app.Tasks().Submit(t.Context(), fmt.Sprint("type", i), i, o)
			require.NoError(t, err)
		}
	}
	b := open(t, serve(t, app, everything), 1280, 900)
	rows := func(table string) string {
		return fmt.Sprintf(`document.querySelectorAll("#%s tbody tr:not(.detail)").length`, table)
	}
	b.until(rows("processes-table") + ` === 104`) // main, two pools, a hundred of the one and the one of the other
	b.until(rows("queues-table") + ` === 100`)
	b.until(rows("types-table") + ` === 100`)
	b.shows("#timeline-note", "the first 100 of 1001 workers")
	require.Less(t, ask[int](b, `document.querySelectorAll("tr").length`), 500)

	// the largest come first, whatever is shown; and all are there for who asks
	b.click("#types-table thead button", "Type")
	b.shows("#types-table tbody tr:first-child", "type999")
	b.click("#types .more", "Show all 1,000 rows")
	b.until(rows("types-table") + ` === 1000`)
	b.click("#types .more", "Show fewer rows")
	b.until(rows("types-table") + ` === 100`)
	b.click("#processes .more", "Show all 1,004 rows")
	b.until(rows("processes-table") + ` === 1004`)
	b.drawer("worker/998")
	b.click("#processes .more", "Show fewer rows")
	b.until(rows("processes-table") + ` === 105`) // the one that is open stays
	require.Empty(t, b.errors())
}
