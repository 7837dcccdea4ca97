// Package browsertest looks at the dashboard with a browser.
package browsertest

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/dashboard"
)

var pictures = flag.String(
	"pictures",
	"",
	"the `directory` that gets the pictures of the README, each from a minute of work; "+
		"default: that of the test's artifacts",
)

// patience is how long anything here may take. It is no measure of speed: it turns a hang into a
// failure.
const patience = 60 * time.Second

// tab is a tab of a browser that shows a page, and everything that went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu    sync.Mutex
	wrong []string // errors of the console, exceptions, refused files
}

// browser is the path of the browser.
func browser(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	require.FailNow(t, "there is no browser: install the package chromium")
	return ""
}

// open starts a browser and opens a page.
func open(t *testing.T, url string, width, height int) *tab {
	t.Helper()
	options := append(
		chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browser(t)),
		chromedp.WindowSize(width, height),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-dev-shm-usage", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx)) // starts the browser
	b := &tab{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	go func() { // ends with the browser
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning {
				b.mu.Lock()
				b.wrong = append(b.wrong, fmt.Sprintf("%v (%s:%d)", m, m.URL, m.Line))
				b.mu.Unlock()
			}
		}
	}()
	b.do(chromedp.EmulateViewport(int64(width), int64(height)), chromedp.Navigate(url))
	return b
}

// do does something in the tab.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	require.NoError(b.t, chromedp.Do(ctx, actions...))
}

// get does something in the tab that has a result.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	require.NoError(b.t, err)
	return v
}

// ask returns what an expression of JavaScript is, which may be a promise.
func ask[T any](b *tab, expression string) (v T) {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// scheme shows the page in dark or light, as a system that prefers it.
func (b *tab) scheme(value string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"},
			},
		})
		return err
	}))
}

// until waits until an expression of JavaScript is true.
func (b *tab) until(expression string) {
	b.t.Helper()
	begun := time.Now()
	for !ask[bool](b, "Boolean("+expression+")") {
		if time.Since(begun) > patience {
			b.shoot("stuck")
			require.FailNow(b.t, "waited in vain for "+expression)
		}
		ask[bool](b, "new Promise((done) => setTimeout(() => done(true), 50))")
	}
}

// errors returns what went wrong in the page.
func (b *tab) errors() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.wrong...)
}

// shoot keeps a picture of the whole page.
func (b *tab) shoot(name string) {
	b.t.Helper()
	b.keep(name, get(b, chromedp.FullScreenshot(100)))
}

// keep keeps a picture among the artifacts of the test.
func (b *tab) keep(name string, png []byte) {
	b.t.Helper()
	b.write(b.t.ArtifactDir(), name, png)
}

// present keeps a picture of what the tab shows for the README, if that is what pictures are for.
func (b *tab) present(name string) {
	b.t.Helper()
	b.write(cmp.Or(*pictures, b.t.ArtifactDir()), name, small(b.t, get(b, chromedp.CaptureScreenshot())))
}

func (b *tab) write(dir, name string, png []byte) {
	b.t.Helper()
	path := filepath.Join(dir, name+".png")
	require.NoError(b.t, os.WriteFile(path, png, 0o666))
	b.t.Log(path)
}

// small makes a picture small: it keeps the 256 colours of it that are seen most, and takes for each
// other colour the nearest of them.
func small(t *testing.T, text []byte) []byte {
	whole, err := png.Decode(bytes.NewReader(text))
	require.NoError(t, err)
	seen := map[color.Color]int{}
	box := whole.Bounds()
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			seen[whole.At(x, y)]++
		}
	}
	colours := color.Palette(slices.Collect(maps.Keys(seen)))
	slices.SortFunc(colours, func(a, b color.Color) int { return seen[b] - seen[a] })
	few := image.NewPaletted(box, colours[:min(256, len(colours))])
	nearest := map[color.Color]uint8{}
	for _, c := range colours {
		nearest[c] = uint8(few.Palette.Index(c))
	}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			few.SetColorIndex(x, y, nearest[whole.At(x, y)])
		}
	}
	var b bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, few))
	return b.Bytes()
}

// server is the server of the present test.
var server *httptest.Server

// serve serves the page of a program under a prefix.
func serve(t *testing.T, app *multiprolab.Main, cfg *dashboard.Config) (url string) {
	mux := http.NewServeMux()
	mux.Handle("/the/workers/", http.StripPrefix("/the/workers", dashboard.Handler(app, cfg)))
	server = httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/the/workers/"
}
