# Prints "account token", a line for each account that was named.
use strict; use warnings;
use lib '/usr/share/request-tracker5/lib';
use RT; use RT::Interface::CLI ();
RT->LoadConfig; RT->Init;
require RT::User; require RT::AuthToken;
for my $name (@ARGV) {
    my $user = RT::User->new(RT->SystemUser);
    $user->Load($name);
    die "there is no account $name\n" unless $user->Id;
    my ($ok, $said, $token) = RT::AuthToken->new(RT->SystemUser)
        ->Create(Owner => $user->Id, Description => 'tests/real');
    die "$name: $said\n" unless $ok;
    print "$name $token\n";
}
