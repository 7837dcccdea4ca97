// Package browsertest looks at the dashboard with a browser.
package browsertest

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
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
	"the `directory` that gets the screenshots; default: that of the test's artifacts",
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
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
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

// keep keeps a picture.
func (b *tab) keep(name string, png []byte) {
	b.t.Helper()
	dir := *pictures
	if dir == "" {
		dir = b.t.ArtifactDir()
	}
	path := filepath.Join(dir, name+".png")
	require.NoError(b.t, os.WriteFile(path, png, 0o666))
	b.t.Log(path)
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
