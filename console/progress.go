package console

import (
	"context"
	"fmt"
	"iter"
	"slices"
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
// also if that is a break or a panic. What the body of the loop prints to the same terminal goes
// through a Terminal; otherwise it and the bar write over each other.
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
		over := make(chan struct{})
		var counting sync.WaitGroup
		defer func() {
			close(over)
			counting.Wait()
			b.end()
		}()
		if b != nil {
			counting.Go(func() { countEnds(b, futures, over) })
		}
		for _, f := range futures {
			if r, err := f.Wait(ctx); !yield(r, err) {
				return
			}
		}
		if ctx.Err() == nil {
			b.complete()
		}
	}
}

// countEnds counts the futures that have ended, some times in a second: there may be a million of
// them, and each would cost a goroutine that waits for it. It looks at all once more when it is
// over.
func countEnds[R any](b *bar, futures []*multiprolab.Future[R], over <-chan struct{}) {
	rest := slices.Clone(futures)
	for pause, last := beat, false; !last; {
		select {
		case <-time.After(pause):
		case <-over:
			last = true
		}
		begun := time.Now()
		rest = slices.DeleteFunc(rest, func(f *multiprolab.Future[R]) bool {
			select {
			case <-f.Done():
				b.count(f.Result(context.Background(), nil)) // it is there
				return true
			default:
				return false
			}
		})
		pause = max(beat, 20*time.Since(begun))
	}
}

// beat is how often a bar gets what was counted.
const beat = 100 * time.Millisecond

// bar is one bar on a terminal. Nil is a bar that nobody sees.
type bar struct {
	// screen is where it is shown.
	screen *screen
	// total is how many results there will be; 0 is not known.
	total int64
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
	b := &bar{total: int64(total), begun: time.Now(), over: make(chan struct{}), clear: c.Clear}
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
		left := decor.Any(func(now decor.Statistics) string {
			if now.Completed || now.Aborted || now.Current == 0 {
				return ""
			}
			each := float64(time.Since(b.begun)) / float64(now.Current)
			return "  " + age(time.Duration(each*float64(now.Total-now.Current))) + " left"
		})
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
	b.screen, b.drawn = screens.add(t.file(), filler, options...)
	b.draw()
	b.drawing.Go(b.follow)
	return b
}

// follow brings what was counted to the picture, some times in a second: results may come a million
// in a second, and each costs an addition.
func (b *bar) follow() {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.draw()
		case <-b.over:
			b.draw()
			return
		}
	}
}

// draw brings what was counted to the picture. A total that was too low grows with it.
func (b *bar) draw() {
	n := b.counted.Load()
	if b.total > 0 {
		b.drawn.SetTotal(max(b.total, n), false)
	}
	b.drawn.SetCurrent(n)
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
	screens.remove(b.screen)
}
