// tools/cli/screen.h: a terminal that is redrawn in place, and given back as it was found.
#ifndef PARTYWALL_TOOLS_CLI_SCREEN_H
#define PARTYWALL_TOOLS_CLI_SCREEN_H

#include <termios.h>

#include <chrono>
#include <string>

#include "maps/fd.h"
#include "maps/result.h"

namespace partywall::cli {

// Takes the alternate screen, switches echo and line mode off, and receives SIGINT, SIGTERM and
// SIGWINCH as input; undoes all of it when it goes. One per process.
class Screen {
 public:
  static Result<Screen> open();
  Screen(Screen&& other) noexcept;
  Screen& operator=(Screen&&) = delete;
  ~Screen();

  // Rows and columns of the window now.
  size_t rows() const;
  size_t columns() const;

  void draw(const std::string& text) const;

  enum class Input { kNone, kQuit, kRedraw, kKey };
  // Waits for a key or a signal, at most that long. `q`, Ctrl-C and SIGTERM are kQuit.
  Input wait(std::chrono::milliseconds patience, char& key) const;

 private:
  Screen() = default;
  termios before_{};
  Fd signals_;
  bool active_ = false;
};

}  // namespace partywall::cli

#endif
