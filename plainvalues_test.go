package multiprolab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// plainReport has plain values in all that it holds. It is not known to gob.Register, and need not
// be.
type plainReport struct {
	Any  any
	Meta map[string]any
	Raw  json.RawMessage
}

// The worker "plain" sends what it gets back, in every way.
var _ = worker("plain", func(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "tell", func(ctx context.Context, v any) error { return multiprolab.Send(ctx, w, "main", "told", v) })
	multiprolab.HandleCall(w, "ask", func(_ context.Context, v any) (any, error) { return v, nil })
	multiprolab.HandleTask(w, "do", func(ctx context.Context, v any) (any, error) {
		if err := multiprolab.Progress(ctx, v); err != nil {
			return nil, err
		}
		return v, w.SetExitValue(v)
	})
	multiprolab.HandleTask(w, "report", func(_ context.Context, r plainReport) (plainReport, error) { return r, nil })
	multiprolab.HandleTask(w, "map", func(_ context.Context, m map[string]any) (any, error) { return m["value"], nil })
	return nil
})

// What encoding/json makes of a text goes to a worker and back in every way that there is, and
// nobody has registered anything.
func TestPlainValuesNeedNoRegistration(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("plain", 1))
		told := make(chan any, 1)
		multiprolab.Handle(l, "told", func(_ context.Context, v any) error { told <- v; return nil })
		require.NoError(t, l.Start(t.Context()))
		ctx := bounded(t)
		decoder := json.NewDecoder(strings.NewReader(`[null, 12345678901234567890, []]`))
		decoder.UseNumber()
		var doc, precise any
		require.NoError(t, json.Unmarshal([]byte(`{"a": [null, true, 1.5, "x", {}, []], "b": {"c": null}}`), &doc))
		require.NoError(t, decoder.Decode(&precise))
		values := []any{doc, precise, true, 1.5, "text", nil, []any{}, []any{nil}, json.Number("7"), json.RawMessage("{}"), 7}
		for _, v := range values {
			require.NoError(t, multiprolab.Send(ctx, l, "plain", "tell", v))
			require.Equal(t, v, await(t, told, "the message that comes back"))
			got, err := multiprolab.Call[any](ctx, l, "plain", "ask", v)
			require.NoError(t, err)
			require.Equal(t, v, got)
			var reports []any
			got, err = multiprolab.DoWith[any](ctx, l, "do", v, &multiprolab.TaskOptions{
				OnProgress: func(_ context.Context, m *multiprolab.Message) {
					var r any
					if err := m.Decode(&r); err != nil {
						r = err
					}
					reports = append(reports, r)
				},
			})
			require.NoError(t, err)
			require.Equal(t, v, got)
			require.Equal(t, []any{v}, reports)
			report := plainReport{Any: []any{v, nil}, Meta: map[string]any{"v": v}, Raw: json.RawMessage("[1]")}
			same, err := multiprolab.Do[plainReport](ctx, l, "report", report)
			require.NoError(t, err)
			require.Equal(t, report, same)
			got, err = multiprolab.Do[any](ctx, l, "map", map[string]any{"value": v})
			require.NoError(t, err)
			require.Equal(t, v, got)
		}
		var mapped []any
		for v, err := range multiprolab.Map[any](ctx, l, "do", slices.Values(values), nil) {
			require.NoError(t, err)
			mapped = append(mapped, v)
		}
		require.Equal(t, values, mapped)
		endless := map[string]any{}
		endless["itself"] = []any{endless}
		_, err := multiprolab.Do[any](ctx, l, "do", endless)
		var encode *multiprolab.EncodeError
		require.ErrorAs(t, err, &encode)
		require.ErrorContains(t, err, "holds itself")
		require.NoError(t, l.Close())
		stopped := waitEvent[*multiprolab.WorkerStopped](t, l, nil)
		var left any
		require.NoError(t, stopped.Decode(&left))
		require.Equal(t, values[len(values)-1], left)
	})
}

// A document of JSON goes to a worker as encoding/json has made it. Nothing is registered.
func ExampleHandleTask_any() {
	setup := func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "names", func(_ context.Context, doc map[string]any) ([]any, error) {
			users, _ := doc["users"].([]any)
			return append(users, doc["missing"]), nil // nil arrives as nil
		})
		return nil
	}
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		var doc map[string]any
		if err := json.Unmarshal([]byte(`{"users": ["ann", 7, {"name": "bob"}]}`), &doc); err != nil {
			return err
		}
		names, err := multiprolab.Do[[]any](ctx, app, "names", doc)
		text, _ := json.Marshal(names)
		fmt.Println(string(text), err)
		return nil
	})
	// Output: ["ann",7,{"name":"bob"},null] <nil>
}
