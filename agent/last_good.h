// agent/last_good.h: copies of the policy in force, for the next start and for the CLI. Best
// effort: nothing that is enforced depends on it.
#ifndef PARTYWALL_AGENT_LAST_GOOD_H
#define PARTYWALL_AGENT_LAST_GOOD_H

#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "agent/source/policy_folder.h"
#include "maps/result.h"

namespace partywall {

//   <state dir>/last-good/<file>        the policy files, as they were read (*.yaml or *.yml)
//   <state dir>/last-good/.config.yaml  the agent's configuration, for its infrastructure lane
//   <state dir>/last-good/.policy-dir   where the files came from
//   <state dir>/last-good.new           the copies before those; nobody reads them
class LastGood {
 public:
  LastGood(std::string state_dir, const std::string& policy_dir);

  // Replaces the copies in one step. Files that did not change since the last saves are not
  // written again.
  Result<void> save(const std::vector<source::PolicySource>& files,
                    const std::string& config_text);

  const std::string& folder() const { return folder_; }
  // The texts of the copies that are there, whoever made them; those that cannot be read are
  // left out.
  std::vector<std::string> texts() const;

 private:
  Result<void> bring_up(const std::string& fresh,
                        const std::vector<source::PolicySource>& files);

  std::string state_dir_;
  std::string policy_dir_;
  std::string folder_;
  std::vector<source::PolicySource> saved_;   // in the folder
  std::vector<source::PolicySource> beside_;  // in the one beside it, where that is known
  // When an entry of those two folders came or went last.
  std::optional<timespec> saved_changed_;
  std::optional<timespec> beside_changed_;
  bool has_saved_ = false;
  bool knows_beside_ = false;
};

}  // namespace partywall

#endif
