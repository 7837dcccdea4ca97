package console

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/multiprolab/multiprolab"
)

// Config says how progress is shown. Nil, and the zero value, are good defaults.
type Config struct {
	// Label stands before the bar, such as "pictures". Defaults to none.
	Label string
	// Total is how many results there will be. Defaults to zero, which is unknown: the count, the
	// rate and the failures are shown, but no share and no time left. Futures knows it.
	Total int
	// Workers, if not nil, shows a live table of this Main's workers below the bar.
	Workers *multiprolab.Main
	// Clear takes the bar away in the end. By default its last picture stays.
	Clear bool
	// Terminal is where the bar is shown. Defaults to the one on stderr.
	Terminal *Terminal
}

func (c *Config) terminal() *Terminal {
	if c.Terminal == nil {
		return &standard
	}
	return c.Terminal
}

// label returns the label, as it stands before a bar.
func (c *Config) label() string {
	if c.Label == "" {
		return ""
	}
	return printable(c.Label, 40) + "  "
}

// Progress yields what results yields, and shows meanwhile how many there were, how many of them
// failed, and at which rate. The bar comes with the first call of the range and goes with its end,
// also if that is a break or a panic.
func Progress[R any](results iter.Seq2[R, error]) iter.Seq2[R, error] {
	return ProgressWith(results, nil)
}

// ProgressWith is Progress with a Config: it says how many results there will be, for a share and
// the time that is left.
func ProgressWith[R any](results iter.Seq2[R, error], cfg *Config) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		b := show(cfg, 0)
		defer b.end()
		for r, err := range results {
			b.count(err)
			if !yield(r, err) {
				return
			}
		}
		b.complete()
	}
}

// Futures waits for futures and yields their results in the order of the slice, while the bar
// counts those that have ended in any order. The context limits each wait: when it ends, the rest
// of the futures yield its error, and their tasks go on.
func Futures[R any](ctx context.Context, futures []*multiprolab.Future[R], cfg *Config) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		b := show(cfg, len(futures))
		var counting sync.WaitGroup
		over := make(chan struct{})
		defer func() {
			close(over)
			counting.Wait()
			b.end()
		}()
		if b != nil {
			for _, f := range futures {
				counting.Go(func() {
					select {
					case <-f.Done():
						_, err := f.Wait(ctx)
						b.count(err)
					case <-over:
					}
				})
			}
		}
		for _, f := range futures {
			if r, err := f.Wait(ctx); !yield(r, err) {
				return
			}
		}
		if ctx.Err() == nil {
			counting.Wait() // all are done: the last picture shows them all
			b.complete()
		}
	}
}

// bar is one bar on a terminal. Nil is a bar that nobody sees.
type bar struct {
	// terminal is where it is shown.
	terminal *Terminal
	// drawn is the bar as its library knows it.
	drawn *mpb.Bar
	// begun is when it was first shown.
	begun time.Time
	// counted is how many results there were.
	counted atomic.Int64
	// failed is how many of them were errors.
	failed atomic.Int64
	// over is closed when nothing more is counted, and ends the goroutine that draws.
	over chan struct{}
	// drawing is that goroutine.
	drawing sync.WaitGroup
	// whole says that all results have come.
	whole bool
	// clear says that the bar goes away in the end.
	clear bool
}

func show(cfg *Config, total int) *bar {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if total == 0 {
		total = max(0, c.Total)
	}
	t := c.terminal()
	if !t.isTerminal() {
		return nil
	}
	b := &bar{terminal: t, begun: time.Now(), over: make(chan struct{}), clear: c.Clear}
	before, after := []decor.Decorator{decor.Name(c.label())}, []decor.Decorator(nil)
	rate := decor.Any(func(now decor.Statistics) string {
		text := "  " + perSecond(float64(now.Current)/time.Since(b.begun).Seconds())
		if now.Completed {
			text += "  in " + time.Since(b.begun).Round(time.Millisecond).String()
		}
		return text
	})
	filler := mpb.NopStyle()
	if total > 0 {
		filler = style()
		left := decor.OnComplete(decor.Meta(decor.AverageETA(decor.ET_STYLE_GO), func(left string) string {
			return "  " + left + " left"
		}), "")
		after = append(after, decor.CountersNoUnit("  %d of %d"), rate, left)
	} else {
		before = append(before, decor.CurrentNoUnit("%d"), rate)
	}
	after = append(after, decor.Any(func(decor.Statistics) string {
		if n := b.failed.Load(); n > 0 {
			return fmt.Sprintf("  %d failed", n)
		}
		return ""
	}))
	options := []mpb.BarOption{
		mpb.BarWidth(40), mpb.BarFillerTrim(), mpb.PrependDecorators(before...), mpb.AppendDecorators(after...),
	}
	if c.Workers != nil {
		options = append(options, newTable(c.Workers).below())
	}
	if c.Clear {
		options = append(options, mpb.BarRemoveOnComplete())
	}
	b.drawn = t.add(int64(total), filler, options...)
	b.drawing.Go(b.follow)
	return b
}

// follow brings what was counted to the picture, some times in a second: results may come a million
// in a second, and each costs an addition.
func (b *bar) follow() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.drawn.SetCurrent(b.counted.Load())
		case <-b.over:
			b.drawn.SetCurrent(b.counted.Load())
			return
		}
	}
}

// perSecond says a rate in as many digits as one reads at a glance.
func perSecond(rate float64) string {
	if rate >= 100 {
		return fmt.Sprintf("%.0f/s", rate)
	}
	return fmt.Sprintf("%.1f/s", rate)
}

func (b *bar) count(err error) {
	if b == nil {
		return
	}
	if err != nil {
		b.failed.Add(1)
	}
	b.counted.Add(1)
}

// complete says that all results have come.
func (b *bar) complete() {
	if b != nil {
		b.whole = true
	}
}

// end takes the bar out of the pictures to come. One that is not complete stays as it was last.
func (b *bar) end() {
	if b == nil {
		return
	}
	close(b.over)
	b.drawing.Wait()
	if b.whole {
		b.drawn.SetTotal(-1, true) // what was counted is the total
	}
	b.drawn.Abort(b.clear) // does nothing to a bar that is complete
	b.terminal.remove()
}
